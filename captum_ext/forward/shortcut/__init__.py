"""The first-layer shortcut: rows that a linear first layer need not see whole."""

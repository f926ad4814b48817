"""The first-layer shortcut: a linear first layer runs on rows that are never made in full."""

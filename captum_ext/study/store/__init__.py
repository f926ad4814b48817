"""The folder of a study: its SQLite file, and what is read from it."""

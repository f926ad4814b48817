"""What a table of results says: statistics, ranks, the leaderboard, the report. Needs no torch."""

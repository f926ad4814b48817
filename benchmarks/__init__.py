"""Comparative studies, each run as ``python -m benchmarks.NAME``."""

"""Benchmarks: what the line costs, and how fast it lets go. Run by ``make bench``."""

"""Watching a job that runs: its step time from counters, and when that shifts."""

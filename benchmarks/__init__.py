"""Benchmarks: `python -m benchmarks` prints each row beside its floor, measured in the same run. They assert nothing."""

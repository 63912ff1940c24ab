"""Benchmarks: one file per case in `cases`, run by ``python -m benchmarks.run``."""

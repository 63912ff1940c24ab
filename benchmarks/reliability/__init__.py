"""Break it on purpose: ``python -m benchmarks.reliability``.

Each campaign returns its counts and raises AssertionError where a vector is wrong, a
process hangs or dies by itself, or an error or a warning is missing. The suite runs
small samples of them (tests/test_reliability.py).
"""

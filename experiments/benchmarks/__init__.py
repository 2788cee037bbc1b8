"""Benchmarks against the code that a competent engineer would write instead, and against the limits of the machine."""

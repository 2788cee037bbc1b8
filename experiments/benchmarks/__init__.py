"""Benchmarks against what a competent engineer would write instead, and against what the machine can do."""

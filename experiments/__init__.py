"""Studies and benchmarks that anyone can repeat."""

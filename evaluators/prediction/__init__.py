"""Latency predicted from few timed networks."""

"""Latency measured: the protocol, the process that times, the meter that asks it."""

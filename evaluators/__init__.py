"""What a network costs and what it is worth: Flax modules, training, runtimes, measured latency."""

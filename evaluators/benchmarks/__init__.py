"""Published tables of networks that were trained or timed."""

"""Networks with weights: made, run, kept in files, taken from others."""

"""A trained network made smaller: which channels belong together, how much each matters, and what is left."""

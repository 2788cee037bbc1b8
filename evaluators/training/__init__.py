"""The training of networks in JAX."""

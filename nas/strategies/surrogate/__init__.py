"""The strategy `surrogate`: Gaussian processes of what training and timing have found."""

"""The strategy `surrogate`: Gaussian processes of the results of training and timing."""

"""The attributes of a trial that tell a strategy what became of it."""

CANDIDATE = "candidate"  # what is known of its architecture
PROMOTED = "promoted"  # the number of the trial that it continues
TAKEN = "taken"  # what another run has found in training its architecture
LOST = "lost"  # its worker died or was interrupted
OUTSIDE = "outside"  # its architecture is not of the space: it has no parameters
SCREENED = "not timed: predicted to be over its budget"  # the flag of such a latency

"""Settings of all property tests: a busy machine is slow, and slowness is no failure."""

from hypothesis import settings

settings.register_profile("paretonas", deadline=None)
settings.load_profile("paretonas")

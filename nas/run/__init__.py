"""A run: its configuration, its directory, its monitor."""

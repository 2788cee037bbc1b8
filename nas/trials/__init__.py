"""The trials of a search as they are stored."""

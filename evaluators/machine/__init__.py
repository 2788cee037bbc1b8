"""The machine: files, locks, memory, processes."""

"""Reports: tables, rows for files, and plots, each a pure function of a list of candidates."""

"""Exports: networks trained to the end, written to files, and certified."""

"""The costs of candidates, measured."""

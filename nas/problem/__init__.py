"""The problem of a search as pure data: objectives, budgets, costs, candidates."""

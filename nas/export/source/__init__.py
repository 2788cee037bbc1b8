"""Networks as readable source files: what their blocks have in common is a class, what tells them apart an argument."""

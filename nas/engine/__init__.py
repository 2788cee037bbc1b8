"""The engine: trials proposed, trained and told, until a search ends."""

"""The command line: `nas COMMAND`."""

from nas.cli.app import main

__all__ = ["main"]

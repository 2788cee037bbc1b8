"""What a network may be: layers, blocks, architectures, and spaces of them. Imports numpy only."""

from search_spaces.architecture import Architecture
from search_spaces.blocks import BLOCKS
from search_spaces.errors import InvalidInput
from search_spaces.ready import SPACES, load_space
from search_spaces.space import Space

__all__ = ["BLOCKS", "SPACES", "Architecture", "InvalidInput", "Space", "load_space"]

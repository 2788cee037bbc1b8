"""The documented blocks, by the word that names them in text. A new family is one file and one line here."""

from search_spaces.blocks import (
    densenet,
    inception,
    inception_resnet,
    mobilenet,
    plain,
    residual,
    shufflenet,
    squeezenet,
    xception,
)
from search_spaces.blocks.conventions import Block, Input, round_channels

BLOCKS: dict[str, type[Block]] = (
    plain.BLOCKS | mobilenet.BLOCKS | shufflenet.BLOCKS | squeezenet.BLOCKS | residual.BLOCKS | densenet.BLOCKS
    | inception.BLOCKS | inception_resnet.BLOCKS | xception.BLOCKS
)
KIND_OF: dict[type[Block], str] = {block: kind for kind, block in BLOCKS.items()}

__all__ = ["BLOCKS", "KIND_OF", "Block", "Input", "round_channels"]

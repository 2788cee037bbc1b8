"""Published mobile networks as an engineer puts them to small images by hand: narrower, shorter, with fewer strides.

Any search has these to beat. The pattern of blocks is the published one; what is changed is what one would change: the
width, until the network fills its budget; the number of strides, so that small images keep some pixels; the layers of
a stage; and whether the stages behind the last stride are kept.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.blocks import Block, Input, round_channels
from search_spaces.blocks.plain import Pooling
from search_spaces.zoo import load_network

FAMILIES = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_lite0",
            "shufflenet_v2", "mobilenext", "squeezenet_1.1")
LAST_PIXELS = 3.5  # least height and width that strides leave
MOST_STRIDES = 5  # of the published networks
LAYERS = (1, 2, 4)  # most layers of a stage


@dataclass(frozen=True)
class Pattern:
    """A published network put to small images, but for its width.

    Attributes:
        name: the family and how it was shortened, such as `mobilenet_v2, 2 layers a stage, no tail`.
        input: the image, and conventions of the layers.
        blocks: the blocks at the published width.
    """

    name: str
    input: Input
    blocks: tuple[Block, ...]

    def scaled(self, width: float) -> Architecture:
        """Returns the network with all its channels multiplied and rounded as MobileNet's are.

        Raises:
            InvalidInput: no network has these channels, or a layer would be left without a pixel.
        """
        return Architecture(self.input, tuple(_scaled(block, width) for block in self.blocks))


def patterns(name: str, resolution: int, channels: int, classes: int) -> Iterator[Pattern]:
    """Yields the ways to put a network of the zoo to images of a size, each once.

    Args:
        name: of the network.
        resolution: height and width of the images in pixels.
        channels: of the images.
        classes: that are told apart.

    Raises:
        InvalidInput: the zoo has no such network.
    """
    *body, head = load_network(name, classes=classes).blocks
    seen = set()
    for layers, tail in itertools.product(LAYERS, (False, True)):
        blocks = (*_shortened(tuple(body), strides(resolution), layers, tail), head)
        if blocks not in seen:
            seen.add(blocks)
            yield Pattern(f"{name}, {layers} layer{'s'[:layers - 1]} a stage, {'with' if tail else 'no'} tail",
                          Input(resolution, channels), blocks)


def strides(resolution: int) -> int:
    """Returns the number of halvings, from one to five, that leave images of a size at least 4 pixels a side.

    >>> [strides(resolution) for resolution in (28, 32, 64, 96, 224)]
    [3, 3, 4, 4, 5]
    """
    return max(1, min(MOST_STRIDES, int(math.log2(resolution / LAST_PIXELS))))


def _shortened(blocks: tuple[Block, ...], count: int, layers: int, tail: bool) -> Iterator[Block]:
    """Yields the blocks of a network with so many strides, and so many layers a stage.

    A pool right behind the stem is for large images, and left out. Behind the last stride, pools are left out, and
    other blocks of stride 2 have stride 1, or end the network where it has no tail.
    """
    depth = channels = 0
    for index, block in enumerate(blocks):
        stride, own = getattr(block, "stride", 1), getattr(block, "channels", channels)
        pool = isinstance(block, Pooling)
        if pool and (index == 1 or (not count and tail)):
            continue
        if stride == 2 and not count:
            if not tail:
                return
            block = dataclasses.replace(block, stride=1)  # type: ignore[type-var]
        count -= stride == 2 and count > 0
        depth = depth + 1 if own == channels and stride == 1 and not pool else 1
        channels = own
        if depth <= layers:
            yield block


def _scaled(block: Block, width: float) -> Block:
    fields = {field.name: field for field in dataclasses.fields(block)}  # type: ignore[arg-type]
    scaled: dict[str, Any] = {}
    for name in ("channels", "hidden", *(name for name, field in fields.items() if field.metadata.get("scaled"))):
        if value := getattr(block, name, 0):
            scaled[name] = round_channels(value * width)
    return dataclasses.replace(block, **scaled)  # type: ignore[type-var]

"""The published networks as architectures of the one notation, by name."""

from search_spaces.architecture import Architecture
from search_spaces.errors import unknown
from search_spaces.zoo import densenet, efficientnet, inception, mobilenet, resnet, shufflenet, squeezenet
from search_spaces.zoo.published import Published, adapted
from search_spaces.zoo.sources import SOURCES, assumed, find_source

ZOO: dict[str, Published] = (
    mobilenet.PUBLISHED | efficientnet.PUBLISHED | shufflenet.PUBLISHED | squeezenet.PUBLISHED | resnet.PUBLISHED
    | densenet.PUBLISHED | inception.PUBLISHED
)

_OLDER_SMALL = ("the table keeps the figures of an earlier network: the published code (tensorflow/models, slim, "
                "mobilenet_v3.py) and torchvision have {}")
NOT_REPRODUCED: dict[str, str] = {
    "tf-slim:mobilenet_v3 small 1": _OLDER_SMALL.format("2.54 M parameters and 56.5 M multiply-adds, not 2.9 and 66"),
    "tf-slim:mobilenet_v3 small 0.75": _OLDER_SMALL.format(
        "2.04 M parameters and 43.4 M multiply-adds, not 2.4 and 44"),
    "tf-slim:mobilenet_v3 small_minimalistic 1": _OLDER_SMALL.format("52.3 M multiply-adds, not 65; parameters agree"),
    "mobilenext:0.75": "the authors' code has 2.74 M parameters, not 2.5 M, and no rule of rounding channels gives 2.5",
    "mobilenext:0.35": "the authors' code has 1.90 M parameters, not 1.8 M, and no rule of rounding channels gives 1.8",
    "torchvision:Inception_V3": "the row counts the auxiliary classifier, which only training uses: 3,326,696 "
                                "parameters more than the 23,834,568 of inception_v3",
}

__all__ = ["NOT_REPRODUCED", "SOURCES", "ZOO", "Published", "adapted", "assumed", "load_network", "zoo_name"]


def load_network(name: str, resolution: int | None = None, channels: int | None = None,
                 classes: int | None = None) -> Architecture:
    """Returns a network of the zoo, put to another resolution, other input channels or another number of classes.

    A name such as `timm:mobilenetv1_100` gives the network in the conventions of that source.

    Raises:
        InvalidInput: unknown name, which lists the known ones; a resolution that leaves a layer no pixel.
    """
    architecture = ZOO[zoo_name(name)].architecture(resolution, channels, classes)
    return find_source(name).adapted(architecture) if ":" in name else architecture


def zoo_name(name: str) -> str:
    """Returns the zoo's name of the network of a name, which may be that of a source; raises as `load_network`."""
    if ":" in name:
        return find_source(name).network
    if name not in ZOO:
        raise unknown("network", name, ZOO)
    return name

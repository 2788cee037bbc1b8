"""Networks of torchvision, timm and pytorchcv by their own names: the zoo's network, in the source's conventions.

Weights tell neither how layers pad, nor batch norm's epsilon, nor the activation; the name under which they were
published does.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.blocks import Block
from search_spaces.blocks.plain import PlainConvolution
from search_spaces.errors import InvalidInput, unknown


@dataclass(frozen=True)
class Source:
    """The network of the zoo that another library's network is, and the conventions that its weights were trained in.

    Attributes:
        network: of the zoo.
        padding: how its layers pad where the zoo's text does not say otherwise for one of them.
        bn_epsilon: batch norm's epsilon.
        activation: in place of every activation of the zoo's network, where one is named.
        stem: its first block, where that differs from the zoo's.
    """

    network: str
    padding: str = "symmetric"
    bn_epsilon: float = 1e-5
    activation: str = ""
    stem: Block | None = None

    def adapted(self, architecture: Architecture) -> Architecture:
        """Returns an architecture of the zoo in the conventions of this source."""
        conventions = dataclasses.replace(architecture.input, padding=self.padding, bn_epsilon=self.bn_epsilon)
        stem, *others = architecture.blocks
        return Architecture(conventions, tuple(map(self._activated, (self.stem or stem, *others))))

    def _activated(self, block: Block) -> Block:
        if self.activation and hasattr(block, "activation"):
            return dataclasses.replace(block, activation=self.activation)  # type: ignore[type-var]
        return block


def _each(names: Mapping[str, str], **conventions: Any) -> dict[str, Source]:
    return {name: Source(network, **conventions) for name, network in names.items()}


def _same(names: Iterable[str], **conventions: Any) -> dict[str, Source]:
    return {name: Source(name, **conventions) for name in names}


def _prefixed(library: str, *parts: dict[str, Source]) -> dict[str, Source]:
    return {f"{library}:{name}": source for part in parts for name, source in part.items()}


_TENSORFLOW: dict[str, Any] = {"padding": "same", "bn_epsilon": 1e-3}  # of weights that were trained there
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2",
            "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d")
_DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")
_EFFICIENTNETS = tuple(f"efficientnet_b{number}" for number in range(9))

TORCHVISION = _prefixed(
    "torchvision",
    _same((*_RESNETS, *_DENSENETS, "mobilenet_v2", *_EFFICIENTNETS[:5])),
    _same((*_EFFICIENTNETS[5:8], "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_v2_s", "efficientnet_v2_m",
           "efficientnet_v2_l", "googlenet", "inception_v3"), bn_epsilon=1e-3),
    _each({
        "mnasnet0_5": "mnasnet_b1_0.5", "mnasnet0_75": "mnasnet_b1_0.75", "mnasnet1_0": "mnasnet_b1",
        "mnasnet1_3": "mnasnet_b1_1.3",
        "shufflenet_v2_x0_5": "shufflenet_v2_0.5", "shufflenet_v2_x1_0": "shufflenet_v2",
        "shufflenet_v2_x1_5": "shufflenet_v2_1.5", "shufflenet_v2_x2_0": "shufflenet_v2_2",
        "squeezenet1_0": "squeezenet_1.0", "squeezenet1_1": "squeezenet_1.1",
    }),
)

_V3 = {
    "mobilenetv3_large_075": "mobilenet_v3_large_0.75", "mobilenetv3_large_100": "mobilenet_v3_large",
    "mobilenetv3_small_075": "mobilenet_v3_small_0.75", "mobilenetv3_small_100": "mobilenet_v3_small",
}
_V3_MINIMAL = {
    "mobilenetv3_large_minimal_100": "mobilenet_v3_large_minimalistic",
    "mobilenetv3_small_minimal_100": "mobilenet_v3_small_minimalistic",
}
_EFFICIENTNETS_OF_TIMM = {
    **{name: name for name in _EFFICIENTNETS},
    **{f"efficientnet_lite{number}": f"efficientnet_lite{number}" for number in range(5)},
    "efficientnet_es": "efficientnet_edge_small", "efficientnet_em": "efficientnet_edge_medium",
    "efficientnet_el": "efficientnet_edge_large",
    "efficientnetv2_s": "efficientnet_v2_s", "efficientnetv2_m": "efficientnet_v2_m",
    "efficientnetv2_l": "efficientnet_v2_l",
}
_BARE_STEM = PlainConvolution(kernel=7, channels=64, stride=2, activation="", norm="bare")
TIMM = _prefixed(
    "timm",
    {"mobilenetv1_100": Source("mobilenet_v1", activation="relu6")},
    _each({
        "mobilenetv2_035": "mobilenet_v2_0.35", "mobilenetv2_050": "mobilenet_v2_0.5",
        "mobilenetv2_075": "mobilenet_v2_0.75", "mobilenetv2_100": "mobilenet_v2",
        "mobilenetv2_140": "mobilenet_v2_1.4",
        "mnasnet_050": "mnasnet_b1_0.5", "mnasnet_075": "mnasnet_b1_0.75", "mnasnet_100": "mnasnet_b1",
        "semnasnet_100": "mnasnet_a1",
        "legacy_xception": "xception",
        "resnet26": "resnet26_bottleneck",
    }),
    _each(_V3 | _EFFICIENTNETS_OF_TIMM),
    {f"tf_{name}": Source(network, **_TENSORFLOW)
     for name, network in (_V3 | _V3_MINIMAL | _EFFICIENTNETS_OF_TIMM).items()},
    _same((*_RESNETS, "resnext101_32x4d", *_DENSENETS)),
    # the batch norm and activation behind the first layer come with the first block
    {f"resnetv2_{layers}": Source(f"resnetv2_{layers}", stem=_BARE_STEM) for layers in (18, 34, 50, 101, 152)},
    _same(("inception_v3", "inception_v4", "inception_resnet_v2"), bn_epsilon=1e-3),
)

_WIDTHS = {"w1": "", "w3d4": "_0.75", "wd2": "_0.5", "wd4": "_0.25"}
_PYTORCHCV_WIDE = {"w1": "", "wd2": "_0.5", "w3d2": "_1.5", "w2": "_2"}


def _residual_of_pytorchcv(theirs: str, ours: str, deepest: Iterable[int]) -> dict[str, str]:
    """Returns the residual networks, `b` for a stride in the 3x3 and `bc` for bottlenecks in shallow ones."""
    return {
        **{f"{theirs}{layers}": f"{ours}{layers}" for layers in (10, 12, 14, 16, 18, 26, 34)},
        **{f"{theirs}bc{layers}b": f"{ours}{layers}_bottleneck" for layers in (14, 26, 38)},
        **{f"{theirs}{layers}": f"{ours}{layers}_stride1" for layers in (50, 101, 152)},
        **{f"{theirs}{layers}b": f"{ours}{layers}" for layers in (50, 101, 152, *deepest)},
        **{f"{theirs}18_{width}": f"{ours}18{suffix}" for width, suffix in _WIDTHS.items() if suffix},
    }


PYTORCHCV = _prefixed(
    "pytorchcv",
    _each({f"{theirs}_{width}": f"{ours}{suffix}" for theirs, ours in (
        ("mobilenet", "mobilenet_v1"), ("mobilenetb", "mobilenet_v1b"), ("mobilenetv2", "mobilenet_v2_imgclsmob"),
        ("mobilenetv2b", "mobilenet_v2b_imgclsmob")) for width, suffix in _WIDTHS.items()}),
    _each({f"{theirs}_{width}": f"{ours}{suffix}" for theirs, ours in (
        ("shufflenetv2", "shufflenet_v2_imgclsmob"), ("shufflenetv2b", "shufflenet_v2b_imgclsmob"))
        for width, suffix in _PYTORCHCV_WIDE.items()}),
    _each({
        "mobilenetv3_large_w1": "mobilenet_v3_large_imgclsmob", "mnasnet_b1": "mnasnet_b1", "mnasnet_a1": "mnasnet_a1",
        **{f"shufflenet_g{groups}_w1": f"shufflenet_v1_g{groups}" for groups in (1, 2, 3, 4, 8)},
        **{f"shufflenet_g{groups}_{width}": f"shufflenet_v1{suffix}_g{groups}"
           for groups in (1, 3) for width, suffix in _WIDTHS.items() if suffix},
        "squeezenet_v1_0": "squeezenet_1.0", "squeezenet_v1_1": "squeezenet_1.1",
        "squeezeresnet_v1_0": "squeezenet_1.0_bypass", "squeezeresnet_v1_1": "squeezenet_1.1_bypass",
        **_residual_of_pytorchcv("resnet", "resnet", ()),
        **_residual_of_pytorchcv("preresnet", "resnetv2_", (200, 269)),
    }),
    _same(("resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d", *_DENSENETS, "xception", *_EFFICIENTNETS)),
    _each({
        **{f"efficientnet_b{number}b": f"efficientnet_b{number}" for number in range(8)},
        **{f"efficientnet_b{number}c": f"efficientnet_b{number}" for number in range(9)},
    }, **_TENSORFLOW),
    _each({"inceptionv3": "inception_v3", "inceptionv4": "inception_v4", "inceptionresnetv1": "inception_resnet_v1",
           "inceptionresnetv2": "inception_resnet_v2"}, bn_epsilon=1e-3),
)

SOURCES: dict[str, Source] = TORCHVISION | TIMM | PYTORCHCV
REFUSED = {f"pytorchcv:efficientnet_edge_{size}_b": "its fused blocks pad symmetrically, the others as TensorFlow does"
           for size in ("small", "medium", "large")}
MOST_NAMED = 3
LIBRARIES = tuple(dict.fromkeys(name.partition(":")[0] for name in SOURCES))


def find_source(name: str) -> Source:
    """Returns the network of a name such as `timm:resnet50`; the tag of a checkpoint of timm may follow.

    Raises:
        InvalidInput: unknown library or network, which names the nearest; one that is `REFUSED`, with the reason.

    >>> find_source("timm:mobilenetv1_100.ra4_e3600_r224_in1k").activation
    'relu6'
    """
    library, _, _ = name.partition(":")
    if library not in LIBRARIES:
        raise unknown("source", library, LIBRARIES)
    if name in REFUSED:
        raise InvalidInput(f"a network must pad in one way, but '{name}' has several: {REFUSED[name]}")
    untagged = name.partition(".")[0] if library == "timm" else name
    if untagged not in SOURCES:
        raise unknown("network", name, (each for each in SOURCES if each.startswith(f"{library}:")))
    return SOURCES[untagged]


def assumed(network: str, architecture: Architecture) -> str:
    """Returns the conventions that a network of the zoo assumes, and the sources that have these or others."""
    those = {name: source.adapted(architecture) == architecture for name, source in SOURCES.items()
             if source.network == network}
    given = architecture.input
    activations = filter(None, dict.fromkeys(getattr(block, "activation", "") for block in architecture.blocks))
    told = f"{given.padding} padding, batch norm's epsilon {given.bn_epsilon:g} and {', '.join(activations)}"
    have, differ = (_listed(how, [name for name, alike in those.items() if alike == wanted])
                    for how, wanted in (("as have", True), ("unlike", False)))
    instead = "name their source instead, or " if those else ""
    return f"{network} assumes {told}{have}{differ}; weights do not tell: {instead}prove the logits with --reference"


def _listed(how: str, names: list[str]) -> str:
    return f", {how} {', '.join(names[:MOST_NAMED])}{' and others' if names[MOST_NAMED:] else ''}" if names else ""

"""EfficientNet B0 to B8, lite, EdgeTPU and V2."""

import math

from search_spaces.blocks import round_channels
from search_spaces.zoo.published import Published, join

# kernel, expansion, channels, layers, stride
_B0 = ((3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1), (5, 6, 192, 4, 2),
       (3, 6, 320, 1, 1))
# width, depth, resolution of the paper
_SCALES = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 300), (1.4, 1.8, 380), (1.6, 2.2, 456),
           (1.8, 2.6, 528), (2.0, 3.1, 600), (2.2, 3.6, 672))
_LITE_SCALES = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300))
# fused or not, kernel, expansion, channels, layers, stride
_EDGE = (("fused", 3, 4, 24, 1, 1), ("fused", 3, 8, 32, 2, 2), ("fused", 3, 8, 48, 4, 2), ("mb", 5, 8, 96, 5, 2),
         ("mb", 5, 8, 144, 4, 1), ("mb", 5, 8, 192, 2, 2))
_EDGE_SCALES = (("small", 1.0, 1.0, 224), ("medium", 1.0, 1.1, 240), ("large", 1.2, 1.4, 300))
# kind, expansion, channels, layers, stride
_V2 = {
    "s": (24, 384, (("fused", 1, 24, 2, 1), ("fused", 4, 48, 4, 2), ("fused", 4, 64, 4, 2), ("mb", 4, 128, 6, 2),
                    ("mb", 6, 160, 9, 1), ("mb", 6, 256, 15, 2))),
    "m": (24, 480, (("fused", 1, 24, 3, 1), ("fused", 4, 48, 5, 2), ("fused", 4, 80, 5, 2), ("mb", 4, 160, 7, 2),
                    ("mb", 6, 176, 14, 1), ("mb", 6, 304, 18, 2), ("mb", 6, 512, 5, 1))),
    "l": (32, 480, (("fused", 1, 32, 4, 1), ("fused", 4, 64, 7, 2), ("fused", 4, 96, 7, 2), ("mb", 4, 192, 10, 2),
                    ("mb", 6, 224, 19, 1), ("mb", 6, 384, 25, 2), ("mb", 6, 640, 7, 1))),
}
_SQUEEZE = "se0.25_swish_sein_sigmoid_seswish_sediv1"


def _b(width: float, depth: float, resolution: int, conventions: str) -> str:
    blocks = [f"mb_k{kernel}_e{expansion}_c{round_channels(channels * width)}_s{1 if layer else stride}_{_SQUEEZE}"
              for kernel, expansion, channels, layers, stride in _B0 for layer in range(math.ceil(layers * depth))]
    return join(f"in_r{resolution}_c3_symmetric{conventions}", f"conv_k3_c{round_channels(32 * width)}_s2_swish",
                *blocks, f"head_c{round_channels(1280 * width)}_swish_n1000")


def _lite(width: float, depth: float, resolution: int) -> str:
    """Returns the text without squeeze-and-excitation, with ReLU6, and with stem, head and the ends' depth unscaled."""
    blocks = []
    for index, (kernel, expansion, channels, layers, stride) in enumerate(_B0):
        scaled = layers if index in (0, len(_B0) - 1) else math.ceil(layers * depth)
        blocks += [f"mb_k{kernel}_e{expansion}_c{round_channels(channels * width)}_s{1 if layer else stride}_se0_relu6"
                   for layer in range(scaled)]
    return join(f"in_r{resolution}_c3_symmetric", "conv_k3_c32_s2_relu6", *blocks, "head_c1280_relu6_n1000")


def _edge(width: float, depth: float, resolution: int) -> str:
    blocks = []
    for index, (kind, kernel, expansion, channels, layers, stride) in enumerate(_EDGE):
        first = "" if index else "_noskip_expandout"
        scaled = round_channels(channels * width)
        blocks += [f"{kind}_k{kernel}_e{expansion}_c{scaled}_s{1 if layer else stride}_se0_relu{first}"
                   for layer in range(math.ceil(layers * depth))]
    return join(f"in_r{resolution}_c3_symmetric_eps0.001_mom0.99", f"conv_k3_c{round_channels(32 * width)}_s2_relu",
                *blocks, f"head_c{round_channels(1280 * width)}_relu_n1000")


def _v2(stem: int, resolution: int, table: tuple[tuple[str, int, int, int, int], ...]) -> str:
    squeezes = {"fused": "se0_swish", "mb": _SQUEEZE}
    blocks = [f"{kind}_k3_e{expansion}_c{channels}_s{1 if layer else stride}_{squeezes[kind]}"
              for kind, expansion, channels, layers, stride in table for layer in range(layers)]
    return join(f"in_r{resolution}_c3_symmetric_eps0.001", f"conv_k3_c{stem}_s2_swish", *blocks,
                "head_c1280_swish_n1000")


def _published() -> dict[str, Published]:
    found = {}
    for number, scales in enumerate(_SCALES):
        rows = [f"torchvision:EfficientNet_B{number}"] if number < 8 else []
        suffixes = {0: ("", "b", "c*"), 1: ("", "b", "c*"), 8: ("c*",)}.get(number, ("b", "c*"))
        rows += [f"imgclsmob:EfficientNet-B{number}{suffix}" for suffix in suffixes]
        conventions = "_eps0.001_mom0.99" if number >= 5 else ""
        found[f"efficientnet_b{number}"] = Published(
            _b(*scales, conventions), "efficientnet", "Tan and Le 2019, table 1 and section 3.3", tuple(rows))
    for number, scales in enumerate(_LITE_SCALES):
        found[f"efficientnet_lite{number}"] = Published(
            _lite(*scales), "efficientnet", "Liu 2020, EfficientNet-Lite (TensorFlow blog)")
    for name, width, depth, resolution in _EDGE_SCALES:
        found[f"efficientnet_edge_{name}"] = Published(
            _edge(width, depth, resolution), "efficientnet", "Gupta and Akin 2020, section 4",
            (f"imgclsmob:EfficientNet-Edge-{name.capitalize()}-b*",))
    for size, (stem, resolution, table) in _V2.items():
        found[f"efficientnet_v2_{size}"] = Published(
            _v2(stem, resolution, table), "efficientnet", "Tan and Le 2021, table 4",
            (f"torchvision:EfficientNet_V2_{size.upper()}",))
    return found


PUBLISHED = _published()

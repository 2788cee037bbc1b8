"""The networks of tabular benchmarks, on which the rows of their tables were measured, as architectures."""

import itertools
from collections.abc import Mapping

from search_spaces.architecture import SEPARATOR, Architecture
from search_spaces.errors import require
from search_spaces.space import Space

LEARNING_CURVES = Space.parse("scale_w0.5/1_stagewise+in+conv_k3_c16_s2_relu+mb_k3/7_e1/4_c24_s1/2_se0_relu"
                              "+mb_k3/7_e3_c40_s1/2_se0_relu+head_c16/128_relu")  # of our own table

_MACRO_STAGES = ((64, 2), (128, 3), (256, 3))
_ACCEL_STAGES = ((16, 1), (24, 2), (40, 2), (80, 2), (112, 1), (192, 2), (320, 1))  # channels out, stride


def nas_bench_macro(key: str) -> Architecture:
    """Returns the network of a key of NAS-Bench-Macro: eight digits, one for each layer.

    A digit is 0 for identity, 1 for an inverted residual of kernel 3 and expansion 3, 2 for one of kernel 5 and
    expansion 6. An identity where a stage begins is a strided 1x1 convolution; elsewhere it is no layer, so keys that
    differ in its place are one network.

    Source: Su et al. 2021 (Prioritized Architecture Sampling with Monto-Carlo Tree Search), section 4.1.

    >>> nas_bench_macro("02012100").params
    890666
    """
    require(len(key) == 8 and set(key) <= set("012"), f"a key has eight digits of 0, 1 and 2, but got '{key}'")
    operations = iter(key)
    tokens = ["in_r32_c3_symmetric", "conv_k3_c32_s1_relu"]
    for channels, depth in _MACRO_STAGES:
        for layer in range(depth):
            stride = 1 if layer else 2
            identity = "" if layer else f"conv_k1_c{channels}_s2_linear"
            tokens.append({"0": identity, "1": f"mb_k3_e3_c{channels}_s{stride}_se0_relu",
                           "2": f"mb_k5_e6_c{channels}_s{stride}_se0_relu"}[next(operations)])
    return Architecture.parse(SEPARATOR.join([*filter(None, tokens), "head_c1280_relu_n10"]))


def canonical_macro_key(key: str) -> str:
    """Returns the one key of all that name the same network: identities that are no layers are last in their stage.

    >>> canonical_macro_key("02001100")
    '02010100'
    """
    ends = list(itertools.accumulate(depth for _, depth in _MACRO_STAGES))
    stages = (key[start:end] for start, end in zip([0, *ends], ends, strict=False))
    return "".join(stage[0] + stage[1:].replace("0", "").ljust(len(stage) - 1, "0") for stage in stages)


def accel_nasbench(row: Mapping[str, str | int | float]) -> Architecture:
    """Returns the network of a row of Accel-NASBench: for each of seven blocks its expansion, kernel, layers and SE.

    The columns are `block0_e`, `block0_k`, `block0_l`, `block0_se` and so on to `block6_se`.

    Source: Ahmad et al. 2024 (Accel-NASBench), section 3.1, in the MnasNet space of Tan et al. 2019.
    """
    tokens = ["in_r224_c3_symmetric", "conv_k3_c32_s2_relu"]
    for index, (channels, stride) in enumerate(_ACCEL_STAGES):
        expansion, kernel, depth, squeezes = (int(row[f"block{index}_{name}"]) for name in ("e", "k", "l", "se"))
        squeeze = "se0.25_relu_sein_sigmoid_sediv1" if squeezes else "se0_relu"
        tokens += [f"mb_k{kernel}_e{expansion}_c{channels}_s{1 if layer else stride}_{squeeze}"
                   for layer in range(depth)]
    return Architecture.parse(SEPARATOR.join([*tokens, "head_c1280_relu_n1000"]))

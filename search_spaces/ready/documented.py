"""`documented`: every stage chooses its block kind among all families that fit there, for images of 28 to 64 pixels.

Stages of stride 1 keep the channels, stages of stride 2 double them; whatever a stage chooses, it leaves as many
channels, so that every combination is a network.
"""

from search_spaces.architecture import SEPARATOR
from search_spaces.space import Space
from search_spaces.stage import KIND_SEPARATOR


def _keeping(channels: int) -> str:
    """Returns a stage of one to three layers that keep so many channels."""
    quarter, eighth = channels // 4, channels // 8
    return KIND_SEPARATOR.join(f"{token}_x1/2/3" for token in (
        f"conv_k3/5_c{channels}_s1_relu_direct/stacked/separable",
        f"sep_k3/5_c{channels}_s1_relu6",
        f"mb_k3/5/7_e3/6_c{channels}_s1_se0/0.25_relu6/hswish/swish",
        f"fused_k3_e2/4_c{channels}_s1_se0_relu6/swish",
        f"sand_k3/5_r2/4_c{channels}_s1_relu6_id0.5/1",
        f"shuffle_c{channels}_g2/4_s1_relu",
        f"shuffle2_c{channels}_s1_relu_k3/5",
        f"fire_q{quarter}_c{channels}_relu_p0.25/0.5/0.75_nobypass/bypass_bn/bias",
        f"basic_c{channels}_s1_relu_direct/separable",
        f"bottleneck_c{channels}_s1_relu_r2/4",
        f"basic2_c{channels}_s1_relu_direct/separable",
        f"bottleneck2_c{channels}_s1_relu_r2/4",
        f"dense_g{eighth}/{quarter}_n2/4_relu_c{channels}_b0/4_direct/separable",
        f"inception_o{quarter}_t{quarter}_f{quarter}_relu_tr{quarter}_fr{eighth}_p{quarter}_k3/5",
        f"inceptiona_o{quarter}_f{quarter}_d{quarter}_p{quarter}_fr{eighth}_dr{quarter}_relu_k3/5",
        f"inceptionb_o{quarter}_r{eighth}_m{eighth}_c{quarter}_p{quarter}_relu_k5/7",
        f"inceptionc_o{quarter}_c{eighth}_r{quarter}_dr{quarter}_d{quarter}_p{quarter}_relu",
        f"inceptionresa_o{quarter}_m{quarter}_d{quarter}_relu",
        f"inceptionresb_o{quarter}_r{quarter}_m{quarter}_c{quarter}_relu_k5/7",
        f"inceptionresc_o{quarter}_m{quarter}_c{quarter}_relu",
        f"xception_c{channels}_s1_relu_n2/3",
    ))


def _doubling(channels: int) -> str:
    """Returns a stage of one layer with stride 2 that reads half as many channels."""
    half, quarter = channels // 2, channels // 4
    return KIND_SEPARATOR.join((
        f"conv_k3/5_c{channels}_s2_relu_direct/stacked/separable",
        f"sep_k3/5_c{channels}_s2_relu6",
        f"mb_k3/5/7_e3/6_c{channels}_s2_se0/0.25_relu6/hswish/swish",
        f"fused_k3_e2/4_c{channels}_s2_se0_relu6/swish",
        f"sand_k3/5_r2/4_c{channels}_s2_relu6_bothdw/neededdw",
        f"shuffle_c{channels}_g2/4_s2_relu",
        f"shuffle2_c{channels}_s2_relu_k3/5",
        f"basic_c{channels}_s2_relu_direct/separable",
        f"bottleneck_c{channels}_s2_relu_r2/4",
        f"basic2_c{channels}_s2_relu_direct/separable",
        f"bottleneck2_c{channels}_s2_relu_r2/4",
        f"dense_g{quarter // 2}_n2/4_relu_c{channels}_s2_b0/4_direct/separable",
        f"reductiona_c{quarter}_r{quarter}_m{quarter}_d{quarter}_relu",
        f"reductionb_r{quarter}_c{quarter}_fr{quarter}_f{quarter}_relu",
        f"reductionresb_r{quarter}_a{quarter - quarter // 2}_b{quarter // 2}_d{half - quarter}_relu",
        f"xception_c{channels}_s2_relu",
    ))


DOCUMENTED = Space.parse(SEPARATOR.join([
    "scale_r0.75/1_stagewise", "in", "conv_k3_c16_s2_relu6/hswish",
    _keeping(16), _doubling(32), _keeping(32), _doubling(64), _keeping(64),
    "head_c128_relu6/hswish",
]))

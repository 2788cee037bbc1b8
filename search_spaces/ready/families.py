"""One space per family: the published skeleton with choices around it, so that published networks are members.

A stem of stride 1 suits images of 28 to 64 pixels, one of stride 2 larger ones. The pools of `densenet` and `inception`
keep the edge where the published ones drop it, since images of 28 pixels would vanish otherwise; at 224 pixels there is
no odd size, and the figures are the published ones.
"""

from search_spaces.architecture import SEPARATOR
from search_spaces.space import Space


def _space(*tokens: str) -> Space:
    return Space.parse(SEPARATOR.join(tokens))


_SQUEEZE = "se0.25_swish_sein_sigmoid_seswish_sediv1"

MOBILENET_V1 = _space(
    "scale_w0.25/0.5/0.75/1", "in_symmetric", "conv_k3_c32_s1/2_relu", "sep_k3/5_c64_s1_relu",
    *(f"sep_k3/5_c{channels}_s2_relu_x{depths}"
      for channels, depths in ((128, "1/2/3"), (256, "1/2/3"), (512, "2/4/6"), (1024, "1/2"))),
    "fc",
)

MOBILENET_V2 = _space(
    "scale_w0.35/0.5/0.75/1", "in_symmetric", "conv_k3_c32_s1/2_relu6", "mb_k3_e1_c16_s1_se0_relu6",
    *(f"mb_k3/5/7_e3/6_c{channels}_s{stride}_se0_relu6_x{depths}"
      for channels, stride, depths in ((24, 2, "1/2/3"), (32, 2, "1/2/3"), (64, 2, "2/3/4"), (96, 1, "1/2/3"),
                                       (160, 2, "1/2/3"), (320, 1, "1"))),
    "head_c1280_relu6",
)

MOBILENET_V3 = _space(
    "scale_w0.5/0.75/1", "in_symmetric_eps0.001_mom0.99", "conv_k3_c16_s1/2_relu/hswish",
    *(f"mb_k3/5_e{expansions}_c{channels}_s{stride}_se0/0.25_relu/hswish_x{depths}"
      for expansions, channels, stride, depths in (
          ("1", 16, 1, "1"), ("3/4/6", 24, 2, "1/2/3"), ("3/4/6", 40, 2, "1/2/3"), ("2.3/2.5/3/6", 80, 2, "2/3/4"),
          ("3/4/6", 112, 1, "1/2"), ("3/4/6", 160, 2, "1/2/3"))),
    "head_c960_relu/hswish_d1280",
)

MOBILENEXT = _space(
    "scale_w0.35/0.5/0.75/1", "in_symmetric", "conv_k3_c32_s1/2_relu6", "sand_k3/5_r2_c96_s2_relu6_bothdw",
    *(f"sand_k3/5_r4/6_c{channels}_s{stride}_relu6_id0.5/1_x{depths}"
      for channels, stride, depths in ((144, 1, "1"), (192, 2, "1/2/3"), (288, 2, "1/2/3"), (384, 1, "2/3/4"),
                                       (576, 2, "2/3/4"), (960, 1, "1/2/3"), (1280, 1, "1"))),
    "fc",
)

SHUFFLENET_V2 = _space(
    "in_symmetric", "conv_k3_c24_s1/2_relu", "pool_max_k3_s1/2",
    *(f"shuffle2_c{channels}_s2_relu_k3/5_x{depths}"
      for channels, depths in (("48/116/176/244", "2/3/4"), ("96/232/352/488", "4/6/8"), ("192/464/704/976", "2/3/4"))),
    "head_c1024/2048_relu",
)

EFFICIENTNET = _space(
    "scale_w1/1.1/1.2_r0.75/1", "in_symmetric", "conv_k3_c32_s1/2_swish", f"mb_k3_e1_c16_s1_{_SQUEEZE}_x1/2",
    *(f"mb_k3/5_e4/6_c{channels}_s2_{_SQUEEZE}_x2/3//fused_k3_e4_c{channels}_s2_se0_swish_x2/3"
      for channels in (24, 40)),
    *(f"mb_k3/5_e4/6_c{channels}_s{stride}_{_SQUEEZE}_x{depths}"
      for channels, stride, depths in ((80, 2, "3/4"), (112, 1, "3/4"), (192, 2, "4/5"), (320, 1, "1/2"))),
    "head_c1280_swish",
)

SQUEEZENET = _space(
    "scale_w0.5/0.75/1", "in_symmetric", "conv_k3/7_c64/96_s1/2_relu_bias_valid",
    *(token for channels in ((128,), (256,), (384, 512)) for token in (
        "pool_max_k3_s2_ceil_valid",
        *(f"fire_q{count // 8}/{count // 4}_c{count}_relu_p0.25/0.5/0.75_nobypass/bypass/complexbypass_bias/bn_x1/2"
          for count in channels))),
    "convfc_relu",
)

RESNET = _space(
    "scale_w0.25/0.5/1_stagewise", "in_symmetric", "conv_k3/7_c64_s1/2_relu", "pool_max_k3_s1/2",
    *(f"basic_c{channels}_s{stride}_relu_direct/separable_x{depths}"
      f"//bottleneck_c{4 * channels}_s{stride}_relu_direct/separable_x{depths}"
      for channels, stride, depths in ((64, 1, "1/2/3"), (128, 2, "1/2/3/4"), (256, 2, "1/2/4/6"), (512, 2, "1/2/3"))),
    "fc",
)

DENSENET = _space(
    "scale_w0.5/1", "in_symmetric", "conv_k3/7_c64_s1/2_relu", "pool_max_k3_s1/2",
    *(f"dense_g16/24/32_n{counts}_relu_c{channels}_s2_b2/4_ceil_direct/separable"
      for counts, channels in (("3/6", 128), ("6/12", 256), ("12/24", 512))),
    "dense_g16/24/32_n8/16_relu_b2/4_direct/separable", "norm_relu", "fc",
)

_GOOGLENET = ((64, 128, 32, 96, 16, 32), (128, 192, 96, 128, 32, 64), (), (192, 208, 48, 96, 16, 64),
              (160, 224, 64, 112, 24, 64), (128, 256, 64, 128, 24, 64), (112, 288, 64, 144, 32, 64),
              (256, 320, 128, 160, 32, 128), (), (256, 320, 128, 160, 32, 128), (384, 384, 128, 192, 48, 128))
INCEPTION = _space(
    "scale_w0.25/0.5/1", "in_symmetric_eps0.001", "conv_k3/7_c64_s1/2_relu", "pool_max_k3_s1/2",
    "conv_k1_c64_s1_relu", "conv_k3_c192_s1_relu", "pool_max_k3_s2",
    *("inception_o{}_t{}_f{}_relu_tr{}_fr{}_p{}_k3/5_direct/stacked/separable".format(*module)
      + "//inceptiona_o{0}_f{2}_d{1}_p{5}_fr{4}_dr{3}_relu_k3/5".format(*module)
      if module else "pool_max_k3_s2" for module in _GOOGLENET),
    "fc",
)

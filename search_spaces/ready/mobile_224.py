"""`mobile-224`: the skeleton of MobileNetV3-Large (Howard et al. 2019, table 1) for images of 224 pixels."""

from search_spaces.space import Space

MOBILE_224 = Space.parse("+".join([
    "scale_w0.5/0.75/1",
    "in_r160/192/224_eps0.001_mom0.99",
    "conv_k3_c16_s2_hswish",
    *(f"mb_k3/5/7_e3/6_c{channels}_s{stride}_se0/0.25_relu/relu6/hswish/swish_x{depths}"
      for channels, stride, depths in (
          (16, 1, "1"), (24, 2, "1/2"), (40, 2, "1/2/3"), (80, 2, "2/3/4"), (112, 1, "1/2"), (160, 2, "1/2/3"))),
    "head_c960_hswish_d1280",
]))

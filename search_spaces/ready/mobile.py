"""`mobile` and `mobile-cell`: MobileNetV3-like networks for images of 28 to 32 pixels."""

from search_spaces.space import Space

_STAGES = "+".join([
    "conv_k3_c16_s2_relu6",
    *(f"mb_k3/5/7_e3/6_c{channels}_s{stride}_se0/0.25_relu/relu6/hswish/swish_x1/2/3"
      for channels, stride in ((16, 1), (24, 2), (32, 2), (48, 2), (64, 1))),
    "head_c128_relu6",
])

MOBILE = Space.parse(f"scale_w0.5/0.75/1_r0.75/0.875/1+in+{_STAGES}")
MOBILE_CELL = Space.parse(f"scale_w0.5/0.75/1_r0.75/0.875/1_stagewise+in+{_STAGES}")

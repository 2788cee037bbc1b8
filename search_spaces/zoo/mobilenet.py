"""MobileNet v1, v2 and v3, MnasNet and MobileNeXt."""

from search_spaces.blocks import round_channels
from search_spaces.zoo.published import Published, join

_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_MOBILENEXT = ((2, 96, 1, 2), (6, 144, 1, 1), (6, 192, 3, 2), (6, 288, 3, 2), (6, 384, 4, 1), (6, 576, 4, 2),
               (6, 960, 3, 1), (6, 1280, 1, 1))
# kernel, expanded channels, channels out, squeeze-and-excitation, activation, stride
_V3_LARGE = ((3, 16, 16, 0, "relu", 1), (3, 64, 24, 0, "relu", 2), (3, 72, 24, 0, "relu", 1), (5, 72, 40, 1, "relu", 2),
             (5, 120, 40, 1, "relu", 1), (5, 120, 40, 1, "relu", 1), (3, 240, 80, 0, "hswish", 2),
             (3, 200, 80, 0, "hswish", 1), (3, 184, 80, 0, "hswish", 1), (3, 184, 80, 0, "hswish", 1),
             (3, 480, 112, 1, "hswish", 1), (3, 672, 112, 1, "hswish", 1), (5, 672, 160, 1, "hswish", 2),
             (5, 960, 160, 1, "hswish", 1), (5, 960, 160, 1, "hswish", 1))
_V3_SMALL = ((3, 16, 16, 1, "relu", 2), (3, 72, 24, 0, "relu", 2), (3, 88, 24, 0, "relu", 1),
             (5, 96, 40, 1, "hswish", 2), (5, 240, 40, 1, "hswish", 1), (5, 240, 40, 1, "hswish", 1),
             (5, 120, 48, 1, "hswish", 1),
             (5, 144, 48, 1, "hswish", 1), (5, 288, 96, 1, "hswish", 2), (5, 576, 96, 1, "hswish", 1),
             (5, 576, 96, 1, "hswish", 1))
# kernel, expansion, channels, layers, stride, squeeze-and-excitation
_MNASNET_B1 = ((3, 3, 24, 3, 2, 0), (5, 3, 40, 3, 2, 0), (5, 6, 80, 3, 2, 0), (3, 6, 96, 2, 1, 0), (5, 6, 192, 4, 2, 0),
               (3, 6, 320, 1, 1, 0))
_MNASNET_A1 = ((3, 6, 24, 2, 2, 0), (5, 3, 40, 3, 2, 1), (3, 6, 80, 4, 2, 0), (3, 6, 112, 2, 1, 1),
               (5, 6, 160, 3, 2, 1), (3, 6, 320, 1, 1, 0))


def _v1(width: float, block: str = "sep_k3_c{}_s{}_relu") -> str:
    blocks = (block.format(int(channels * width), stride) for channels, stride in _V1)
    return join("in_r224_c3_symmetric", f"conv_k3_c{int(32 * width)}_s2_relu", *blocks, "fc_n1000")


def _v2(width: float) -> str:
    blocks = [f"mb_k3_e{expansion}_c{round_channels(channels * width)}_s{1 if layer else stride}_se0_relu6"
              for expansion, channels, depth, stride in _V2 for layer in range(depth)]
    last = round_channels(1280 * max(1, width))
    return join("in_r224_c3_symmetric", f"conv_k3_c{round_channels(32 * width)}_s2_relu6", *blocks,
                f"head_c{last}_relu6_n1000")


def _v2_truncated(width: float, first: str) -> str:
    """Returns MobileNetV2 with channels cut to whole numbers and a classifier without bias."""
    blocks = [f"mb_k3_e{expansion}_c{int(channels * width)}_s{1 if layer else stride}_se0_relu6{first * (not index)}"
              for index, (expansion, channels, depth, stride) in enumerate(_V2) for layer in range(depth)]
    return join("in_r224_c3_symmetric", f"conv_k3_c{int(32 * width)}_s2_relu6", *blocks,
                "head_c1280_relu6_n1000_nobias")


def _v3(table: tuple[tuple[int, int, int, int, str, int], ...], last: int, hidden: int, width: float = 1,
        minimalistic: bool = False, option: str = "") -> str:
    """Returns MobileNetV3; a multiplied network keeps the ratios of expansion (tensorflow/models, slim)."""
    published, reads = 16, round_channels(16 * width)
    stem, blocks = reads, []
    for kernel, expanded, channels, squeezes, activation, stride in table:
        ratio = round_channels(reads * expanded / published) / reads
        published, reads = channels, round_channels(channels * width)
        kernel, squeezes, activation = (3, 0, "relu") if minimalistic else (kernel, squeezes, activation)
        blocks.append(f"mb_k{kernel}_e{ratio:.10g}_c{reads}_s{stride}_se{squeezes / 4:g}_{activation}")
    end = "relu" if minimalistic else "hswish"
    return join("in_r224_c3_symmetric_eps0.001_mom0.99", f"conv_k3_c{stem}_s2_{end}", *blocks,
                f"head_c{round_channels(last * width)}_{end}_n1000_d{hidden}{option}")


def _mnasnet(table: tuple[tuple[int, int, int, int, int, int], ...], width: float = 1, skips: bool = False) -> str:
    def squeezed(has: int) -> str:
        return "se0.25_relu_sein_sigmoid_sediv1" if has else "se0_relu"

    stem, first = round_channels(32 * width), round_channels(16 * width)
    blocks = [f"mb_k{kernel}_e{expansion}_c{round_channels(channels * width)}_s{1 if layer else stride}_{squeezed(has)}"
              for kernel, expansion, channels, depth, stride, has in table for layer in range(depth)]
    return join("in_r224_c3_symmetric_mom0.9997", f"conv_k3_c{stem}_s2_relu", f"mb_k3_e1_c{first}_s1_se0_relu", *blocks,
                "head_c1280_relu_n1000")


def _mobilenext(width: float) -> str:
    blocks, reads = [], round_channels(32 * width)
    text = f"conv_k3_c{reads}_s2_relu6"
    for reduction, channels, depth, stride in _MOBILENEXT:
        scaled = 1280 if channels == 1280 and width < 1 else round_channels(channels * width)
        ends = "_bothdw" if reduction == 2 else ""
        blocks += [f"sand_k3_r{reduction}_c{scaled}_s{1 if layer else stride}_relu6{'' if layer else ends}"
                   for layer in range(depth)]
    return join("in_r224_c3_symmetric", text, *blocks, "fc_n1000")


_SOURCES = {
    "v1": "Howard et al. 2017, table 1",
    "v2": "Sandler et al. 2018, table 2",
    "v3": "Howard et al. 2019, tables 1 and 2",
    "mnasnet": "Tan et al. 2019, figure 7",
    "mobilenext": "Zhou et al. 2020, table 2",
}


def _mobilenet_v1() -> dict[str, Published]:
    found = {}
    for width in (1.0, 0.75, 0.5, 0.25):
        rows = (f"imgclsmob:MobileNet x{width:g}" if width < 1 else "imgclsmob:MobileNet x1.0",)
        bare = (rows[0].replace("MobileNet", "MobileNetb"),)
        name = "mobilenet_v1" if width == 1 else f"mobilenet_v1_{width:g}"
        found[name] = Published(_v1(width), "mobilenet-v1", _SOURCES["v1"], rows)
        separable = _v1(width, "conv_k3_c{}_s{}_relu_separable")  # nothing between depthwise and pointwise
        found[name.replace("v1", "v1b")] = Published(separable, "mobilenet-v1", _SOURCES["v1"], bare)
    return found


def _mobilenet_v2() -> dict[str, Published]:
    found = {}
    for width in (1.0, 1.4, 1.3, 0.75, 0.5, 0.35):
        rows = (f"tf-slim:mobilenet_v2 {width:g}", *(("torchvision:MobileNet_V2",) if width == 1 else ()))
        name = "mobilenet_v2" if width == 1 else f"mobilenet_v2_{width:g}"
        found[name] = Published(_v2(width), "mobilenet-v2", _SOURCES["v2"], rows)
    for width in (1.0, 0.75, 0.5, 0.25):
        row = f"x{width:g}" if width < 1 else "x1.0"
        for name, option, title in (("mobilenet_v2_imgclsmob", "_expandalways", "MobileNetV2"),
                                    ("mobilenet_v2b_imgclsmob", "", "MobileNetV2b")):
            found[name if width == 1 else f"{name}_{width:g}"] = Published(
                _v2_truncated(width, option), "mobilenet-v2", _SOURCES["v2"], (f"imgclsmob:{title} {row}",))
    return found


def _mobilenet_v3() -> dict[str, Published]:
    def entry(text: str, *rows: str) -> Published:
        return Published(text, "mobilenet-v3", _SOURCES["v3"], rows)

    return {
        "mobilenet_v3_large": entry(_v3(_V3_LARGE, 960, 1280), "torchvision:MobileNet_V3_Large",
                                    "tf-slim:mobilenet_v3 large 1"),
        "mobilenet_v3_small": entry(_v3(_V3_SMALL, 576, 1024), "torchvision:MobileNet_V3_Small"),
        "mobilenet_v3_large_0.75": entry(_v3(_V3_LARGE, 960, 1280, 0.75), "tf-slim:mobilenet_v3 large 0.75"),
        "mobilenet_v3_small_0.75": entry(_v3(_V3_SMALL, 576, 1024, 0.75)),
        "mobilenet_v3_large_minimalistic": entry(_v3(_V3_LARGE, 960, 1280, minimalistic=True),
                                                 "tf-slim:mobilenet_v3 large_minimalistic 1"),
        "mobilenet_v3_small_minimalistic": entry(_v3(_V3_SMALL, 576, 1024, minimalistic=True)),
        "mobilenet_v3_large_imgclsmob": entry(_v3(_V3_LARGE, 960, 1280, option="_hiddennobias"),
                                              "imgclsmob:MobileNetV3 L/224/1.0"),
    }


def _mnasnets() -> dict[str, Published]:
    found = {}
    for width, row in ((1.0, "MNASNet1_0"), (1.3, "MNASNet1_3"), (0.75, "MNASNet0_75"), (0.5, "MNASNet0_5")):
        rows = (f"torchvision:{row}", *(("imgclsmob:MnasNet-B1",) if width == 1 else ()))
        name = "mnasnet_b1" if width == 1 else f"mnasnet_b1_{width:g}"
        found[name] = Published(_mnasnet(_MNASNET_B1, width), "mnasnet", _SOURCES["mnasnet"], rows)
    found["mnasnet_a1"] = Published(_mnasnet(_MNASNET_A1), "mnasnet", _SOURCES["mnasnet"], ("imgclsmob:MnasNet-A1",))
    return found


def _mobilenexts() -> dict[str, Published]:
    return {"mobilenext" if width == 1 else f"mobilenext_{width:g}":
            Published(_mobilenext(width), "mobilenext", _SOURCES["mobilenext"],
                      (f"mobilenext:{width:.2f}",) if width in (1.0, 1.4, 0.5) else ())
            for width in (1.0, 1.4, 0.75, 0.5, 0.35)}


PUBLISHED = _mobilenet_v1() | _mobilenet_v2() | _mobilenet_v3() | _mnasnets() | _mobilenexts()

"""ShuffleNet v1 and v2."""

from search_spaces.zoo.published import Published, join, repeated

_V1_CHANNELS = {1: (144, 288, 576), 2: (200, 400, 800), 3: (240, 480, 960), 4: (272, 544, 1088), 8: (384, 768, 1536)}
_V1_SCALED = ((1.0, 1), (1.0, 2), (1.0, 3), (1.0, 4), (1.0, 8), (0.75, 1), (0.75, 3), (0.5, 1), (0.5, 3), (0.25, 1),
              (0.25, 3))
_DEPTHS = (4, 8, 4)
# width: channels of the three stages and of the last convolution
_V2 = {1.0: (116, 232, 464, 1024), 0.5: (48, 96, 192, 1024), 1.5: (176, 352, 704, 1024), 2.0: (244, 488, 976, 2048)}
_V2_IMGCLSMOB = {1.0: (116, 232, 464, 1024), 0.5: (48, 96, 192, 1024), 1.5: (176, 352, 704, 1553),
                 2.0: (244, 488, 976, 2153)}


def _v1(groups: int, width: float) -> str:
    stages = []
    for index, (channels, depth) in enumerate(zip(_V1_CHANNELS[groups], _DEPTHS, strict=True)):
        unit = f"shuffle_c{int(channels * width)}_g{groups}"
        plain = "" if index else "_plainfirst"
        stages.append(repeated(f"{unit}_s2_relu{plain}_allpixels", f"{unit}_s1_relu", depth))
    return join("in_r224_c3_symmetric", f"conv_k3_c{int(24 * width)}_s2_relu", "pool_max_k3_s2", *stages, "fc_n1000")


def _v2(channels: tuple[int, int, int, int], pool: str, option: str = "") -> str:
    *stages, last = channels
    units = [repeated(f"shuffle2_c{count}_s2_relu{option}", f"shuffle2_c{count}_s1_relu", depth)
             for count, depth in zip(stages, _DEPTHS, strict=True)]
    return join("in_r224_c3_symmetric", "conv_k3_c24_s2_relu", f"pool_max_k3_s2{pool}", *units,
                f"head_c{last}_relu_n1000")


def _published() -> dict[str, Published]:
    found = {}
    for width, groups in _V1_SCALED:
        name = f"shufflenet_v1_g{groups}" if width == 1 else f"shufflenet_v1_{width:g}_g{groups}"
        row = f"imgclsmob:ShuffleNet x{'1.0' if width == 1 else format(width, 'g')} (g={groups})"
        found[name] = Published(_v1(groups, width), "shufflenet-v1", "Zhang et al. 2018, table 1", (row,))
    source = "Ma et al. 2018, table 5"
    for width, channels in _V2.items():
        name = "shufflenet_v2" if width == 1 else f"shufflenet_v2_{width:g}"
        row = f"torchvision:ShuffleNet_V2_X{width:.1f}".replace(".", "_")
        found[name] = Published(_v2(channels, ""), "shufflenet-v2", source, (row,))
    for width, channels in _V2_IMGCLSMOB.items():
        suffix = "" if width == 1 else f"_{width:g}"
        found[f"shufflenet_v2_imgclsmob{suffix}"] = Published(
            _v2(channels, "_ceil_valid"), "shufflenet-v2", source, (f"imgclsmob:ShuffleNetV2 x{width:.1f}",))
        found[f"shufflenet_v2b_imgclsmob{suffix}"] = Published(
            _v2(channels, "", "_fullshortcut"), "shufflenet-v2", source, (f"imgclsmob:ShuffleNetV2b x{width:.1f}",))
    return found


PUBLISHED = _published()

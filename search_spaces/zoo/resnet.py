"""ResNet v1 and v2 (pre-activated), and the wider and grouped networks of the same bottleneck."""

from search_spaces.zoo.published import Published, join, repeated

_CHANNELS = (64, 128, 256, 512)
_BASIC = {10: (1, 1, 1, 1), 12: (2, 1, 1, 1), 14: (2, 2, 1, 1), 16: (2, 2, 2, 1), 18: (2, 2, 2, 2), 26: (3, 3, 3, 3),
          34: (3, 4, 6, 3)}
_SHALLOW_BOTTLENECK = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 38: (3, 3, 3, 3)}
_BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_DEEP_BOTTLENECK = {200: (3, 24, 36, 3), 269: (3, 30, 48, 8)}
_STEM = "conv_k7_c{}_s2_relu+pool_max_k3_s2"
_SOURCES = {1: "He et al. 2016 (Deep Residual Learning), table 1", 2: "He et al. 2016 (Identity Mappings), section 5"}


def _network(kind: str, depths: tuple[int, ...], expansion: int, options: str = "", version: int = 1) -> str:
    kind = kind if version == 1 else f"{kind}2"
    stages = []
    for index, (channels, depth) in enumerate(zip(_CHANNELS, depths, strict=True)):
        unit = f"{kind}_c{channels * expansion}"
        stages.append(repeated(f"{unit}_s{min(2, index + 1)}_relu{options}",
                               f"{unit}_s1_relu{options.replace('_stride1', '')}", depth))
    return join("in_r224_c3_symmetric", _STEM.format(64), *stages, "norm_relu" if version == 2 else "", "fc_n1000")


def _narrow18(width: float, version: int) -> str:
    """Returns a 18-layer network of so many channels, except in its last block."""
    kind = "basic" if version == 1 else "basic2"
    channels = [int(count * width) for count in _CHANNELS for _ in range(2)]
    channels[-1] = _CHANNELS[-1]
    blocks = [f"{kind}_c{count}_s{2 if index in (2, 4, 6) else 1}_relu" for index, count in enumerate(channels)]
    return join("in_r224_c3_symmetric", _STEM.format(int(64 * width)), *blocks, "norm_relu" if version == 2 else "",
                "fc_n1000")


def _published(version: int) -> dict[str, Published]:
    prefix, title = ("resnet", "ResNet") if version == 1 else ("resnetv2_", "PreResNet")

    def entry(text: str, *rows: str) -> Published:
        return Published(text, "resnet", _SOURCES[version], rows)

    found = {}
    for layers, depths in _BASIC.items():
        table = (f"torchvision:ResNet{layers}",) if version == 1 and layers in (18, 34) else ()
        found[f"{prefix}{layers}"] = entry(_network("basic", depths, 1, version=version), *table,
                                           f"imgclsmob:{title}-{layers}")
    for layers, depths in _SHALLOW_BOTTLENECK.items():
        found[f"{prefix}{layers}_bottleneck"] = entry(_network("bottleneck", depths, 4, version=version),
                                                      f"imgclsmob:{title}-BC-{layers}b")
    for layers, depths in _BOTTLENECK.items():
        table = (f"torchvision:ResNet{layers}",) if version == 1 else ()
        found[f"{prefix}{layers}"] = entry(_network("bottleneck", depths, 4, version=version), *table,
                                           f"imgclsmob:{title}-{layers}b")
        found[f"{prefix}{layers}_stride1"] = entry(_network("bottleneck", depths, 4, "_stride1", version),
                                                   f"imgclsmob:{title}-{layers}")
    if version == 2:
        for layers, depths in _DEEP_BOTTLENECK.items():
            found[f"{prefix}{layers}"] = entry(_network("bottleneck", depths, 4, version=2),
                                               f"imgclsmob:{title}-{layers}b")
    for width in (0.75, 0.5, 0.25):
        found[f"{prefix}18_{width:g}"] = entry(_narrow18(width, version), f"imgclsmob:{title}-18 x{width:g}")
    return found


_WIDE = {
    "wide_resnet50_2": (50, "_r2", "Zagoruyko and Komodakis 2016, table 8", ("torchvision:Wide_ResNet50_2",)),
    "wide_resnet101_2": (101, "_r2", "Zagoruyko and Komodakis 2016, table 8", ("torchvision:Wide_ResNet101_2",)),
    "resnext50_32x4d": (50, "_r2_g32", "Xie et al. 2017, table 1",
                        ("torchvision:ResNeXt50_32X4D", "imgclsmob:ResNeXt-50 (32x4d)")),
    "resnext101_32x4d": (101, "_r2_g32", "Xie et al. 2017, table 4", ("imgclsmob:ResNeXt-101 (32x4d)",)),
    "resnext101_32x8d": (101, "_r1_g32", "Xie et al. 2017, table 4", ("torchvision:ResNeXt101_32X8D",)),
    "resnext101_64x4d": (101, "_r1_g64", "Xie et al. 2017, table 4",
                         ("torchvision:ResNeXt101_64X4D", "imgclsmob:ResNeXt-101 (64x4d)")),
}

PUBLISHED = _published(1) | _published(2) | {
    name: Published(_network("bottleneck", _BOTTLENECK[layers], 4, options), "resnet", source, rows)
    for name, (layers, options, source, rows) in _WIDE.items()
}

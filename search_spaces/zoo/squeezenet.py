"""SqueezeNet 1.0 and 1.1, with and without bypass."""

from search_spaces.zoo.published import Published, join

_POOL = "pool_max_k3_s2_ceil_valid"
_V1_0 = ("conv_k7_c96_s2_relu_bias_valid", _POOL, (128, 0), (128, 1), (256, 0), _POOL, (256, 1), (384, 0), (384, 1),
         (512, 0), _POOL, (512, 1))
_V1_1 = ("conv_k3_c64_s2_relu_bias_valid", _POOL, (128, 0), (128, 1), _POOL, (256, 0), (256, 1), _POOL, (384, 0),
         (384, 1), (512, 0), (512, 1))
_SOURCES = {"1.0": "Iandola et al. 2016, table 1", "1.1": "Iandola 2016, SqueezeNet v1.1 (authors' repository)"}


def _text(parts: tuple[str | tuple[int, int], ...], bypass: bool) -> str:
    tokens = [part if isinstance(part, str) else
              f"fire_q{part[0] // 8}_c{part[0]}_relu{'_bypass' if bypass and part[1] else ''}" for part in parts]
    return join("in_r224_c3_symmetric", *tokens, "convfc_n1000_relu")


PUBLISHED = {
    **{f"squeezenet_{version}": Published(
        _text(parts, False), "squeezenet", _SOURCES[version],
        (f"torchvision:SqueezeNet{version.replace('.', '_')}", f"imgclsmob:SqueezeNet v{version}"))
       for version, parts in (("1.0", _V1_0), ("1.1", _V1_1))},
    **{f"squeezenet_{version}_bypass": Published(
        _text(parts, True), "squeezenet", "Iandola et al. 2016, figure 2", (f"imgclsmob:SqueezeResNet v{version}",))
       for version, parts in (("1.0", _V1_0), ("1.1", _V1_1))},
}

"""DenseNet-BC for ImageNet."""

from search_spaces.zoo.published import Published, join

# growth, layers of each dense block, channels of the stem
_NETWORKS = {121: (32, (6, 12, 24, 16), 64), 161: (48, (6, 12, 36, 24), 96), 169: (32, (6, 12, 32, 32), 64),
             201: (32, (6, 12, 48, 32), 64)}


def _text(growth: int, depths: tuple[int, ...], stem: int) -> str:
    blocks, channels = [], stem
    for depth in depths[:-1]:
        channels = (channels + depth * growth) // 2
        blocks.append(f"dense_g{growth}_n{depth}_relu_c{channels}_s2")
    return join("in_r224_c3_symmetric", f"conv_k7_c{stem}_s2_relu", "pool_max_k3_s2", *blocks,
                f"dense_g{growth}_n{depths[-1]}_relu", "norm_relu", "fc_n1000")


PUBLISHED = {
    f"densenet{layers}": Published(_text(*parts), "densenet", "Huang et al. 2017, table 1",
                                   (f"torchvision:DenseNet{layers}", f"imgclsmob:DenseNet-{layers}"))
    for layers, parts in _NETWORKS.items()
}

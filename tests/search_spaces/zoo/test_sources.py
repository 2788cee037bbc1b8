import pytest

from search_spaces import Architecture, InvalidInput
from search_spaces.zoo import SOURCES, ZOO, assumed, load_network, zoo_name
from search_spaces.zoo.sources import REFUSED

ROWS = [(row.partition(":"), name) for name, published in ZOO.items() for row in published.rows]
TENSORFLOW = "in_r224_c3_eps0.001"  # `same` padding is the notation's default


@pytest.mark.parametrize("name", SOURCES)
def test_the_network_of_a_source_is_the_zoos_in_canonical_text(name):
    network, published = load_network(name), ZOO[zoo_name(name)].architecture()
    assert Architecture.parse(network.text).text == network.text
    assert network.macs == published.macs
    assert load_network(name, resolution=96, channels=1, classes=7).classes == 7


def test_every_row_of_torchvision_is_imported_by_its_name_there():
    for (table, _, title), name in ROWS:
        if table == "torchvision":
            assert zoo_name(f"torchvision:{title.lower()}") == name


def test_every_network_with_a_row_of_imgclsmob_is_imported_by_a_name_of_pytorchcv():
    tied = {name for (table, _, _), name in ROWS if table == "imgclsmob"}
    assert len(tied) > 90
    refused = {name.removeprefix("pytorchcv:").removesuffix("_b") for name in REFUSED}
    assert refused < tied
    assert tied - refused <= {source.network for name, source in SOURCES.items() if name.startswith("pytorchcv:")}


@pytest.mark.parametrize(("name", "begins"), [
    # conventions as the functions of timm 1.0.31 and pytorchcv 0.0.74 set them
    ("timm:mobilenetv1_100", "in_r224_c3_symmetric+conv_k3_c32_s2_relu6+sep_k3_c64_s1_relu6+"),
    ("timm:tf_efficientnet_b0", f"{TENSORFLOW}+conv_k3_c32_s2_swish+"),
    ("timm:tf_mobilenetv3_small_100", f"{TENSORFLOW}_mom0.99+conv_k3_c16_s2_hswish+"),
    ("timm:tf_mobilenetv3_large_minimal_100", f"{TENSORFLOW}_mom0.99+conv_k3_c16_s2_relu+"),
    ("timm:mobilenetv3_large_075", "in_r224_c3_symmetric_mom0.99+conv_k3_c16_s2_hswish+"),
    ("timm:efficientnet_es", "in_r224_c3_symmetric_mom0.99+conv_k3_c32_s2_relu+"),
    ("timm:resnetv2_50", "in_r224_c3_symmetric+conv_k7_c64_s2_linear_bare+pool_max_k3_s2+"),
    ("pytorchcv:efficientnet_b0b", f"{TENSORFLOW}+conv_k3_c32_s2_swish+"),
    ("pytorchcv:mobilenetb_w1", "in_r224_c3_symmetric+conv_k3_c32_s2_relu+conv_k3_c64_s1_relu_separable+"),
    ("torchvision:mobilenet_v3_large", "in_r224_c3_symmetric_eps0.001_mom0.99+"),
])
def test_a_source_has_conventions_of_its_own(name, begins):
    assert load_network(name).text.startswith(begins)


def test_the_tag_of_a_checkpoint_of_timm_is_passed_over():
    assert load_network("timm:resnet50.a1_in1k") == load_network("timm:resnet50")


@pytest.mark.parametrize(("name", "told"), [
    ("tim:resnet50", "unknown source 'tim'; did you mean 'timm'"),
    ("timm:resnet_50", "unknown network 'timm:resnet_50'; did you mean 'timm:resnet50'"),
    ("pytorchcv:efficientnet_edge_small_b", "a network must pad in one way, but '.*_edge_small_b' has several"),
    ("timm:resnetaa50", "unknown network 'timm:resnetaa50'"),  # of the shapes of resnet50, with other pools
])
def test_a_network_that_no_source_is_known_for_is_told(name, told):
    with pytest.raises(InvalidInput, match=told):
        load_network(name)


@pytest.mark.parametrize(("name", "told"), [
    ("mobilenet_v1", "symmetric padding, batch norm's epsilon 1e-05 and relu, as have pytorchcv:mobilenet_w1, unlike "
                     "timm:mobilenetv1_100; weights do not tell: name their source instead, or prove the logits"),
    ("resnet50", "relu, as have torchvision:resnet50, timm:resnet50, pytorchcv:resnet50b; weights do not tell"),
    ("efficientnet_b0", "swish, as have torchvision:efficientnet_b0, timm:efficientnet_b0, pytorchcv:efficientnet_b0, "
                        "unlike timm:tf_efficientnet_b0, pytorchcv:efficientnet_b0b, pytorchcv:efficientnet_b0c;"),
    ("mobilenext", "relu6; weights do not tell: prove the logits with --reference"),
])
def test_a_bare_name_says_what_it_assumes(name, told):
    assert told in assumed(name, load_network(name))

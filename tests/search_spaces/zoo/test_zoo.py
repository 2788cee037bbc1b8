import re

import pytest

from search_spaces import Architecture, InvalidInput
from search_spaces.zoo import ZOO, adapted, load_network

EVERY_NETWORK = pytest.mark.parametrize("name", ZOO)
PROMISED = [
    "mobilenet_v1", "mobilenet_v1_0.75", "mobilenet_v1_0.5", "mobilenet_v1_0.25", "mobilenet_v2",
    "mobilenet_v2_0.35", "mobilenet_v2_0.5", "mobilenet_v2_0.75", "mobilenet_v2_1.3", "mobilenet_v2_1.4",
    "mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_v3_small_minimalistic",
    "mobilenet_v3_large_minimalistic", "mnasnet_b1", "mnasnet_a1", "mobilenext", "mobilenext_0.35",
    "mobilenext_0.5", "mobilenext_0.75", "mobilenext_1.4", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
    "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "efficientnet_lite3", "efficientnet_lite4",
    "shufflenet_v1_g1", "shufflenet_v1_g2", "shufflenet_v1_g3", "shufflenet_v1_g4", "shufflenet_v1_g8",
    "shufflenet_v2", "shufflenet_v2_0.5", "shufflenet_v2_1.5", "shufflenet_v2_2", "squeezenet_1.0",
    "squeezenet_1.1", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnetv2_50", "resnetv2_101",
    "resnetv2_152", "densenet121", "densenet161", "densenet169", "densenet201", "googlenet", "inception_v3",
    "inception_v4", "inception_resnet_v2", "xception",
]


def test_the_promised_networks_are_there():
    assert len(PROMISED) >= 50
    assert set(PROMISED) <= set(ZOO)


@EVERY_NETWORK
def test_the_text_of_a_network_is_canonical(name):
    assert Architecture.parse(ZOO[name].text).text == ZOO[name].text


@EVERY_NETWORK
def test_a_network_names_its_family_and_source(name):
    published = ZOO[name]
    assert published.family
    assert re.search(r"\b20[12]\d\b", published.source), "a source has its year"
    assert all(row.count(":") == 1 for row in published.rows)


def test_no_two_networks_claim_one_row():
    claimed = [row for published in ZOO.values() for row in published.rows]
    assert len(set(claimed)) == len(claimed)


@EVERY_NETWORK
def test_a_network_goes_to_other_data(name):
    smallest = 75 if ZOO[name].family in ("inception", "xception") and not name.startswith("googlenet") else 32
    network = load_network(name, resolution=smallest, channels=1, classes=10)
    assert network.input.channels == 1
    assert network.classes == 10
    assert network.text != ZOO[name].text


def test_an_unknown_network_is_told_with_the_nearest():
    with pytest.raises(InvalidInput, match="unknown network 'resnet_50'; did you mean 'resnet50'"):
        load_network("resnet_50")


@pytest.mark.parametrize("name", ["inception_v3", "squeezenet_1.0", "densenet121"])
def test_a_resolution_that_leaves_no_pixel_names_the_layer(name):
    with pytest.raises(InvalidInput, match=r"at least one pixel, but .* \(layer .*\) in '"):
        load_network(name, resolution=12)


def test_only_a_network_that_ends_in_classes_changes_them():
    network = Architecture.parse("in_r8_c3+conv_k1_c4_s1_relu+gap")
    with pytest.raises(InvalidInput, match="must have classes to change"):
        adapted(network, classes=5)

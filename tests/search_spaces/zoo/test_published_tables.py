"""The zoo against the tables of published networks."""

import csv
import math

import pytest

from search_spaces import Architecture
from search_spaces.layers import BatchNorm
from search_spaces.zoo import NOT_REPRODUCED, ZOO

# Families of the zoo by the names that tables give them; the other rows of the tables are other families.
TORCHVISION = ("DenseNet", "EfficientNet", "GoogLeNet", "Inception", "MNASNet", "MobileNet", "ResNet", "ResNeXt",
               "ShuffleNet", "SqueezeNet", "Wide_ResNet")
IMGCLSMOB = ("DenseNet-", "EfficientNet-", "Inception", "MnasNet-", "MobileNet", "PreResNet-", "ResNet-",
             "ShuffleNet", "SqueezeNet ", "SqueezeResNet ", "Xception", "ResNeXt-50", "ResNeXt-101")
ENTRIES = {row: name for name, published in ZOO.items() for row in published.rows}
# Params of torchvision 0.29.1's metadata and of imgclsmob's table.
FIGURES = {
    "mobilenet_v2": 3_504_872, "mobilenet_v3_large": 5_483_032, "mobilenet_v3_small": 2_542_856,
    "efficientnet_b0": 5_288_548, "efficientnet_b7": 66_347_960, "efficientnet_v2_s": 21_458_488,
    "mnasnet_b1": 4_383_312, "mnasnet_a1": 3_887_038, "shufflenet_v2": 2_278_604, "shufflenet_v1_g3": 1_865_728,
    "squeezenet_1.0": 1_248_424, "squeezenet_1.1": 1_235_496, "resnet18": 11_689_512, "resnet50": 25_557_032,
    "resnet152": 60_192_808, "resnetv2_50": 25_549_480, "densenet121": 7_978_856, "densenet161": 28_681_000,
    "googlenet": 6_624_904, "inception_v3": 23_834_568, "inception_v4": 42_679_816, "inception_resnet_v2": 55_843_464,
    "xception": 22_855_952, "mobilenet_v1": 4_231_976,
}


@pytest.fixture
def rows(published):
    """Returns the rows of a published table."""
    def read(folder: str, name: str) -> list[dict[str, str]]:
        with published(folder, name).open(encoding="utf-8") as lines:
            return list(csv.DictReader(lines))
    return read


def agrees(value: float, printed: str, tolerance: float = 0.0) -> bool:
    """Tells whether a value is the printed one to its last digit, or to a relative tolerance if that is wider.

    Tables round or truncate: tf-slim prints 153.94 million as 153.
    """
    unit = 10.0 ** -len(printed.partition(".")[2])
    above = value - float(printed)
    return -0.5001 * unit <= above < unit or abs(above) <= tolerance * float(printed)


def reproduced(table: str, name: str) -> str | None:
    """Returns the zoo's name of a row, or None if the zoo tells why it has none."""
    row = f"{table}:{name}"
    assert (row in ENTRIES) != (row in NOT_REPRODUCED), f"{row} is neither reproduced nor listed with a reason"
    return ENTRIES.get(row)


@pytest.mark.parametrize(("name", "params"), FIGURES.items())
def test_parameters_are_the_published_ones(name, params):
    assert ZOO[name].architecture().params == params


def test_every_row_of_torchvision_is_reproduced(rows):
    found = [row for row in rows("torchvision_table", "torchvision_0.29.1_weights_meta.csv")
             if row["model"].startswith(TORCHVISION)]
    assert len(found) > 40
    for row in found:
        name = reproduced("torchvision", row["model"])
        if name:
            architecture = ZOO[name].architecture(resolution=int(row["crop"]))
            assert architecture.params == int(row["num_params"]), row["model"]
            assert agrees(architecture.macs / 1e9, row["gmacs"], 0.005), (row["model"], architecture.macs)


def test_every_row_of_imgclsmob_is_reproduced(rows):
    found = [row for row in rows("imgclsmob_table", "imagenet_models.csv") if row["model"].startswith(IMGCLSMOB)]
    assert len(found) > 100
    for row in found:
        name = reproduced("imgclsmob", row["model"])
        if name:
            assert ZOO[name].architecture().params == int(row["params"]), row["model"]


def test_inception_v3_with_its_auxiliary_classifier_has_the_parameters_of_torchvision():
    # Szegedy et al. 2016, section 4, as torchvision has it: pool, 1x1 to 128, 5x5 to 768, classifier
    auxiliary = Architecture.parse("in_r17_c768_symmetric+pool_average_k5_s3_valid+conv_k1_c128_s1_relu"
                                   "+conv_k5_c768_s1_relu_valid+fc_n1000")
    assert ZOO["inception_v3"].architecture().params + auxiliary.params == 27_161_264
    assert f"{auxiliary.params:,}" in NOT_REPRODUCED["torchvision:Inception_V3"]


def _weights_without_norms(architecture: Architecture) -> int:
    return sum(operation.params for operation in architecture.program.operations
               if not isinstance(operation.layer, BatchNorm))


@pytest.mark.parametrize("table", ["mobilenet_v2_pixel1.csv", "mobilenet_v3_pixel123.csv"])
def test_every_row_of_tensorflow_slim_is_reproduced(table, rows):
    # The table counts the weights of convolutions and of the classifier, without those of batch norms.
    for row in rows("tfslim_mobilenet", table):
        variant = f"{row['variant']} " if "variant" in row else ""
        name = reproduced("tf-slim", f"{row['model']} {variant}{float(row['width']):g}")
        if name:
            architecture = ZOO[name].architecture(resolution=int(row["resolution"]))
            assert agrees(architecture.macs / 1e6, row["macs_m"], 0.005), row
            counts = _weights_without_norms(architecture), architecture.params
            assert any(agrees(count / 1e6, row["params_m"]) for count in counts), (row, counts)


def test_every_row_of_mobilenext_is_reproduced(rows):
    for row in rows("torchvision_table", "mobilenext_paper_table.csv"):
        name = reproduced("mobilenext", row["width"])
        if name:
            assert agrees(ZOO[name].architecture().params / 1e6, row["params_m"]), row


def test_what_the_zoo_says_it_does_not_reproduce_is_so():
    # the figures of the reasons, from the zoo's own networks
    for name, row, params in (("mobilenet_v3_small", "tf-slim:mobilenet_v3 small 1", "2.54"),
                              ("mobilenet_v3_small_0.75", "tf-slim:mobilenet_v3 small 0.75", "2.04"),
                              ("mobilenext_0.75", "mobilenext:0.75", "2.74"),
                              ("mobilenext_0.35", "mobilenext:0.35", "1.90")):
        assert params in NOT_REPRODUCED[row]
        assert agrees(ZOO[name].architecture().params / 1e6, params)
    small = ZOO["mobilenet_v3_small_minimalistic"].architecture()
    assert "52.3 M" in NOT_REPRODUCED["tf-slim:mobilenet_v3 small_minimalistic 1"]
    assert agrees(small.macs / 1e6, "52.3")
    assert agrees(_weights_without_norms(small) / 1e6, "2.0")


@pytest.mark.parametrize(("width", "resolution", "millions"), [
    # Howard et al. 2017 (MobileNets), tables 6 and 7; the paper truncates
    ("", 224, 569), ("_0.75", 224, 325), ("_0.5", 224, 149), ("_0.25", 224, 41),
    ("", 192, 418), ("", 160, 290), ("", 128, 186),
])
def test_mobilenet_v1_has_the_multiply_adds_of_its_paper(width, resolution, millions):
    macs = ZOO[f"mobilenet_v1{width}"].architecture(resolution=resolution).macs / 1e6
    assert millions in (math.floor(macs), round(macs))

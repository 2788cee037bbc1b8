"""Our networks against the recorded logits of PyTorch networks; experiments/reference_logits.py makes the record."""

import importlib.util

import jax
import numpy as np
import pytest

from evaluators.networks.pretrained import import_weights, match_tensors
from experiments.reference_logits import (
    APART,
    LARGEST_DIFFERENCE,
    RUN_BY,
    SOURCES,
    TRANSCRIBED,
    compare,
    logits_by,
    order_of,
    read_records,
    read_tensors,
    reference_arrays,
    reference_images,
    reference_network,
    relative_difference,
)
from search_spaces.zoo import ZOO, load_network, zoo_name
from search_spaces.zoo.sources import LIBRARIES

RECORDS, TENSORS = read_records(), read_tensors()
# Others are run by `pytest -m slow`; all runs are recorded.
QUICK = {
    "timm:mobilenetv1_100": "mobilenet_v1", "timm:tf_efficientnet_b0": "efficientnet_b0",
    "timm:tf_mobilenetv3_small_100": "mobilenet_v3_small", "timm:mobilenetv3_large_075": "mobilenet_v3_large_0.75",
    "timm:mobilenetv3_small_100": "mobilenet_v3_small", "timm:efficientnet_es": "efficientnet_edge_small",
    "timm:resnetv2_18": "", "pytorchcv:shufflenetv2_wd2": "", "pytorchcv:shufflenetv2b_wd2": "",
    "pytorchcv:mobilenetb_wd4": "", "pytorchcv:mobilenet_wd4": "", "pytorchcv:shufflenet_g3_w1": "",
    "torchvision:squeezenet1_1": "", "torchvision:mobilenet_v2": "", "torchvision:densenet121": "",
    "torchvision:googlenet": "", "pytorchcv:xception": "", "mobilenext_0.5": "", "timm:semnasnet_100": "",
}
QUICK_RUNS = {*((name, "onnxruntime") for name in QUICK), *((name, "litert") for name in [*QUICK][:8]),
              *((name, "flax") for name in ("pytorchcv:shufflenetv2_wd2", "torchvision:squeezenet1_1"))}


def test_what_is_recorded_is_within_the_bar_on_everything_that_runs_it():
    assert RECORDS.keys() <= TENSORS.keys() == {*SOURCES, *TRANSCRIBED}
    assert {name.partition(":")[0] for name in RECORDS if name not in TRANSCRIBED} == {*LIBRARIES}
    assert {ZOO[zoo_name(name)].family for name in RECORDS} == {published.family for published in ZOO.values()}
    for name, record in RECORDS.items():
        assert record["differences"].keys() == set(RUN_BY)
        assert max(record["differences"].values()) <= LARGEST_DIFFERENCE, name


@pytest.mark.parametrize("name", TENSORS)
def test_the_tensors_of_a_source_fill_every_array_once(name):
    architecture = reference_network(name)
    shapes = {tensor: tuple(shape) for tensor, shape in sorted(TENSORS[name].items())}
    matched = match_tensors(architecture.program, shapes, ZOO[zoo_name(name)].family)
    used = [tensor for _, tensor in matched.values()]
    assert len(set(used)) == len(used)
    assert all(tensor.startswith(("aux", "AuxLogits")) for tensor in set(shapes) - set(used))
    if name in RECORDS:
        assert (architecture.text, order_of(used)) == (RECORDS[name]["architecture"], RECORDS[name]["order"])


@pytest.mark.parametrize(("name", "runner"), [
    pytest.param(name, runner, marks=[] if (name, runner) in QUICK_RUNS else [pytest.mark.slow])
    for name in RECORDS for runner in RUN_BY])
def test_logits_are_those_of_the_reference(name, runner):
    record, architecture = RECORDS[name], reference_network(name)
    logits, reference = logits_of(name, runner, architecture), np.array(record["logits"])
    assert relative_difference(logits, reference) < LARGEST_DIFFERENCE
    assert relative_difference(reference[0], reference[1]) > APART, "the images must matter for the logits"
    jax.clear_caches()


def logits_of(name, runner, architecture):
    arrays = reference_arrays(reference_network(name), RECORDS[name]["gain"])
    return logits_by(runner, architecture, arrays, reference_images(architecture.input.resolution))


@pytest.mark.parametrize(("name", "bare"), [(name, bare) for name, bare in QUICK.items() if bare])
def test_weights_of_other_conventions_fit_a_bare_name_and_compute_something_else(name, bare):
    there = reference_network(name)
    architecture = load_network(bare, resolution=there.input.resolution, classes=there.classes)
    assert architecture.program.arrays == there.program.arrays
    logits = logits_of(name, "onnxruntime", architecture)
    assert relative_difference(logits, np.array(RECORDS[name]["logits"])) > 10 * LARGEST_DIFFERENCE


@pytest.mark.parametrize("name", ["timm:resnetv2_18", "pytorchcv:shufflenetv2_wd2", "pytorchcv:mnasnet_a1"])
def test_a_state_dict_of_a_source_comes_back_as_our_arrays(name):
    architecture, family = reference_network(name), ZOO[zoo_name(name)].family
    arrays, shapes = reference_arrays(architecture), TENSORS[name]
    found = match_tensors(architecture.program, {tensor: tuple(shape) for tensor, shape in shapes.items()}, family)
    state = {tensor: (arrays[own].transpose(3, 2, 0, 1) if arrays[own].ndim == 4 else arrays[own].T).reshape(
        shapes[tensor]) for own, (_, tensor) in found.items()}
    imported = import_weights(architecture, state, family)
    assert all(np.array_equal(imported[own], array) for own, array in arrays.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchvision:mnasnet0_5", "timm:mobilenetv2_035", "pytorchcv:shufflenetv2_wd2"])
def test_the_record_is_that_of_the_library(name):
    for library in ("torch", "torchvision", name.partition(":")[0]):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library}, which is no dependency of this project, is not installed")
    record, tensors = compare(name)
    assert tensors == TENSORS[name]
    np.testing.assert_allclose(record["logits"], RECORDS[name]["logits"], rtol=1e-6)

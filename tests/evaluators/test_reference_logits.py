"""Our networks against the recorded logits of PyTorch networks; experiments/reference_logits.py makes the record."""

import json
from pathlib import Path

import jax
import numpy as np
import onnxruntime
import pytest

from evaluators.networks.network import forward
from evaluators.networks.pretrained import match_tensors
from evaluators.runtimes.onnxruntime import onnx_model
from experiments.reference_logits import (
    GAINS,
    REFERENCES,
    TIMM,
    reference_arrays,
    reference_images,
    reference_network,
)
from search_spaces.zoo import ZOO

GOLDEN = Path(__file__).parent / "golden"
EVERY_REFERENCE = pytest.mark.parametrize("name", REFERENCES)
# Flax compiles each network for seconds; the others are compared by `pytest -m slow`
FLAX = ("mobilenet_v1_0.25", "shufflenet_v1_g3", "shufflenet_v2_0.5", "squeezenet_1.0_bypass", "resnet18",
        "resnetv2_18")
RELATIVE = 1e-4


def record(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def inputs(name):
    architecture = reference_network(name)
    arrays = reference_arrays(architecture, GAINS.get(name, 1.0))
    return architecture, arrays, reference_images(architecture.input.resolution)


def relative_difference(logits, reference):
    return np.abs(logits - reference).max() / np.abs(reference).max()


def test_every_family_has_a_reference():
    assert {ZOO[name].family for name in REFERENCES} == {published.family for published in ZOO.values()}
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(REFERENCES)


@EVERY_REFERENCE
def test_onnx_logits_are_those_of_the_reference(name):
    architecture, arrays, images = inputs(name)
    model = onnx_model(architecture.program, arrays).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
    reference = np.array(record(name)["logits"])
    assert relative_difference(logits, reference) < RELATIVE
    assert relative_difference(reference[0], reference[1]) > 100 * RELATIVE, "the images must matter for the logits"


@pytest.mark.parametrize("name", [
    name if name in FLAX else pytest.param(name, marks=pytest.mark.slow) for name in REFERENCES])
def test_flax_logits_are_those_of_the_reference(name):
    architecture, arrays, images = inputs(name)
    logits = jax.jit(lambda arrays, images: forward(architecture.program, arrays, images))(arrays, images)
    assert relative_difference(np.asarray(logits), np.array(record(name)["logits"])) < RELATIVE
    jax.clear_caches()


@pytest.mark.parametrize(("name", "layout"), [*((name, "tensors") for name in REFERENCES),
                                              *((name, "timm_tensors") for name in TIMM)])
def test_the_tensors_of_the_reference_fill_every_array_once(name, layout):
    architecture = reference_network(name)
    shapes = {tensor: tuple(shape) for tensor, shape in sorted(record(name)[layout].items())}
    matched = match_tensors(architecture.program, shapes, ZOO[name].family)
    arrays = reference_arrays(architecture)
    assert {own: array.shape for own, array in arrays.items()} == {own: shape for own, (shape, _) in matched.items()}
    used = [tensor for _, tensor in matched.values()]
    left = set(shapes) - set(used)
    assert len(set(used)) == len(used)
    assert all(tensor.endswith("num_batches_tracked") or tensor.startswith(("aux", "AuxLogits")) for tensor in left)

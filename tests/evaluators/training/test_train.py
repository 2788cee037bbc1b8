"""Training that is stopped and goes on."""

import dataclasses

import jax
import numpy as np
import pytest
from safetensors.numpy import load, save

from evaluators.evaluator import Diverged, Fidelity
from evaluators.machine import locks
from evaluators.networks.weights import initial_weights
from evaluators.recipe import Recipe
from evaluators.training.train import Images, evaluate, train
from nas.testing import ARCHITECTURES, two_classes
from search_spaces import Architecture, InvalidInput

EVERYTHING = Recipe(4, 16, "randaugment-flip", seed=4, mixup=0.2, cutmix=1.0, average=0.9, stochastic_depth=0.5,
                    class_weights="balanced")
WHOLE = Fidelity(Recipe(4, seed=4, batch=16, augmentation="shift-flip"), 3)


@pytest.mark.parametrize("whole", [WHOLE, Fidelity(EVERYTHING, 3)], ids=["default", "everything"])
def test_a_training_goes_on_from_a_file_to_the_bit_as_if_it_had_not_been_stopped(whole):
    architecture, data = ARCHITECTURES[0], two_classes()
    uninterrupted = evaluate(architecture, data, whole)
    checkpoint = {}
    for epochs in (1, 3):
        score = evaluate(architecture, data, dataclasses.replace(whole, epochs=epochs, checkpoint=checkpoint))
        checkpoint = load(save(dict(score.checkpoint)))
    assert score.accuracy == uninterrupted.accuracy
    assert checkpoint.keys() == uninterrupted.checkpoint.keys()
    for name, array in uninterrupted.checkpoint.items():
        np.testing.assert_array_equal(checkpoint[name], array, err_msg=name)
    moments = [array for name, array in checkpoint.items() if name.startswith("second moments/")]
    assert all(np.any(array > 0) for array in moments)  # the optimizer's memory is part of it
    averages = {name: array for name, array in checkpoint.items() if name.startswith("averages/")}
    assert bool(averages) == bool(whole.recipe.average)
    for name, array in score.arrays.items():  # what is delivered are the averages, with statistics of their own
        same = np.array_equal(array, checkpoint[f"arrays/{name}"])
        assert same == (not averages), name
        if averages and not name.endswith(("/mean", "/var")):
            np.testing.assert_array_equal(array, averages[f"averages/{name}"])


def test_a_training_that_nobody_changed_is_the_one_that_was_recorded():
    """Norms of arrays after two epochs, as version 0.1 came to them."""
    architecture = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e2_c8_s1_se0.25_hswish+head_c16_relu_n2")
    found = evaluate(architecture, two_classes(), Fidelity(Recipe(2, batch=16, seed=3))).arrays
    for name, norm in {
            "0.conv/convolution/kernel": 3.446241, "0.conv/batch_norm/bias": 0.0618685,
            "0.conv/batch_norm/var": 3.681089, "1.mb/depthwise/convolution/kernel": 5.660071,
            "1.mb/squeeze_excite/squeeze/convolution/bias": 0.0604347, "2.head/classifier/dense/kernel": 1.297709,
            "2.head/classifier/dense/bias": 0.0246652}.items():
        assert np.linalg.norm(found[name]) == pytest.approx(norm, rel=1e-3), name


def test_a_stopped_training_has_followed_the_schedule_of_the_whole_one():
    architecture, data = ARCHITECTURES[0], two_classes()
    stopped, short = (evaluate(architecture, data, Fidelity(Recipe(epochs, batch=16), 1)) for epochs in (4, 1))
    assert not np.array_equal(stopped.arrays["0.conv/convolution/kernel"], short.arrays["0.conv/convolution/kernel"])


def test_blocks_and_the_whole_network_come_to_the_same_training():
    architecture, data = ARCHITECTURES[0], two_classes()
    recipe = Recipe(1, batch=EVERYTHING.batch, augmentation="none", average=0.5, stochastic_depth=0.3)
    blocks, network, left_open = (evaluate(architecture, data, Fidelity(dataclasses.replace(recipe, compile=compile)))
                                  for compile in ("blocks", "network", "auto"))
    assert (blocks.compiled, network.compiled, left_open.compiled) == ("blocks", "network", "blocks")
    for name, array in blocks.arrays.items():
        np.testing.assert_allclose(network.arrays[name], array, rtol=1e-3, atol=1e-4, err_msg=name)
        np.testing.assert_array_equal(left_open.arrays[name], array, err_msg=name)


def test_a_training_gives_way_to_measurements_between_its_steps(monkeypatch):
    architecture, data = ARCHITECTURES[0], two_classes()
    renewals, renew = [], locks.Turn.renew
    monkeypatch.setattr(locks.Turn, "renew", lambda turn: renewals.append(turn) or renew(turn))
    at_once = evaluate(architecture, data, WHOLE)
    between = len(renewals)
    monkeypatch.setattr(locks, "TRAINING_S", 0)
    assert evaluate(architecture, data, WHOLE).accuracy == at_once.accuracy
    assert len(renewals) - between == WHOLE.epochs * (len(data.train.labels) // WHOLE.recipe.batch)


def test_a_training_does_not_go_back():
    architecture, data = ARCHITECTURES[0], two_classes()
    checkpoint = evaluate(architecture, data, dataclasses.replace(WHOLE, epochs=2)).checkpoint
    with pytest.raises(InvalidInput, match="goes on to more epochs, but got a checkpoint of 2 for 1"):
        evaluate(architecture, data, dataclasses.replace(WHOLE, epochs=1, checkpoint=checkpoint))


def test_a_training_of_known_pieces_leaves_nothing_to_jax_to_trace_or_compile():
    architecture, data = ARCHITECTURES[0], two_classes()
    before = evaluate(architecture, data, WHOLE)
    jax.clear_caches()
    with jax.no_tracing(True):
        assert evaluate(architecture, data, WHOLE).accuracy == before.accuracy


def test_a_training_that_diverges_ends_within_its_epoch(monkeypatch):
    architecture, data = ARCHITECTURES[0], two_classes()
    monkeypatch.setattr(locks, "TRAINING_S", 0)
    renewals = []
    monkeypatch.setattr(locks.Turn, "renew", renewals.append)
    not_a_number = {name: np.full_like(array, np.nan)
                    for name, array in initial_weights(architecture.program, 0)[0].items()}
    training = Images.put(data.train.images, data.train.labels, data)
    with pytest.raises(Diverged, match="the loss became infinite or not a number in epoch 1"):
        train(architecture, training, None, WHOLE, initial=not_a_number)
    assert not renewals  # which come after each of its many steps

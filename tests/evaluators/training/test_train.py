"""Training that is stopped and goes on."""

import dataclasses

import jax
import numpy as np
import pytest
from safetensors.numpy import load, save

from evaluators.evaluator import Fidelity
from evaluators.machine import locks
from evaluators.recipe import Recipe
from evaluators.training.train import evaluate
from nas.testing import ARCHITECTURES, two_classes
from search_spaces import InvalidInput

WHOLE = Fidelity(Recipe(4, seed=4, batch=16, augmentation="shift-flip"), 3)


def test_a_training_goes_on_from_a_file_to_the_bit_as_if_it_had_not_been_stopped():
    architecture, data = ARCHITECTURES[0], two_classes()
    uninterrupted = evaluate(architecture, data, WHOLE)
    checkpoint = {}
    for epochs in (1, 3):
        score = evaluate(architecture, data, dataclasses.replace(WHOLE, epochs=epochs, checkpoint=checkpoint))
        checkpoint = load(save(dict(score.checkpoint)))
    assert score.accuracy == uninterrupted.accuracy
    assert checkpoint.keys() == uninterrupted.checkpoint.keys()
    for name, array in uninterrupted.checkpoint.items():
        np.testing.assert_array_equal(checkpoint[name], array, err_msg=name)
    moments = [array for name, array in checkpoint.items() if name.startswith("second moments/")]
    assert all(np.any(array > 0) for array in moments)  # the optimizer's memory is part of it


def test_a_stopped_training_has_followed_the_schedule_of_the_whole_one():
    architecture, data = ARCHITECTURES[0], two_classes()
    stopped, short = (evaluate(architecture, data, Fidelity(Recipe(epochs, batch=16), 1)) for epochs in (4, 1))
    assert not np.array_equal(stopped.arrays["0.conv/convolution/kernel"], short.arrays["0.conv/convolution/kernel"])


def test_blocks_and_the_whole_network_come_to_the_same_training():
    architecture, data = ARCHITECTURES[0], two_classes()
    recipe = Recipe(2, batch=len(data.train.labels), augmentation="none")
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

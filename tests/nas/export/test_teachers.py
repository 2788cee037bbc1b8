import hashlib
import json

import numpy as np
import pytest

import nas.export.delivery
from evaluators.datasets import load_dataset
from evaluators.networks.checkpoint import save_network
from evaluators.recipe import Recipe
from nas.engine.search import run_search
from nas.export.teachers import teacher_in_file, teachers_named
from nas.export.trained import training_id
from nas.export.winner import best_trained
from nas.run.monitor import Silent
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput

TEXT = "in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+head_c16_relu_n2"
NETWORK, RECIPE = Architecture.parse(TEXT), Recipe(2)


@pytest.fixture
def dataset(inputs):
    return load_dataset(str(inputs / "data.npz"))


def saved(path, text=TEXT, **texts):
    architecture = Architecture.parse(text)
    arrays = random_arrays(architecture, seed=3)
    save_network(architecture, arrays, path, {name: json.dumps(value) for name, value in texts.items()})
    return arrays


def test_a_file_teaches_with_its_arrays_and_its_normalisation(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "timm-big.imported.safetensors"
    arrays = saved(path, classes=dataset.classes, mean=[0.25], std=[0.5])
    for name in (str(path), "timm:big"):  # the name for which weights were imported here
        (teacher,) = teachers_named([name], dataset, RECIPE)
        assert teacher.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (teacher.name, teacher.architecture, teacher.normalisation) == (path.name, NETWORK, ((0.25,), (0.5,)))
        assert all(np.array_equal(teacher.arrays[name], array) for name, array in arrays.items())
    assert [one.name for one in teachers_named([str(path), "timm:big"], dataset, RECIPE)] == [path.name, path.name]


@pytest.mark.parametrize(("text", "texts", "rule"), [
    (TEXT.replace("_n2", "_n7"), {}, "its channels and classes, but .* has 1 channel and 7 classes, and .* 1 and 2"),
    (TEXT.replace("_c1+", "_c3+"), {}, "its channels and classes, but .* has 3 channels and 2 classes, and .* 1 and 2"),
    (TEXT, {"classes": ["ant", "bee"]}, "a trained network is used on data of its classes, but .* has ant, bee, and "),
    (TEXT, {"mean": [0.5], "std": [0.0]}, "texts of a network must be as an export has written them"),
    (TEXT, {"mean": [0.5, 0.5], "std": [1.0]}, "texts of a network must be as an export has written them"),
    (TEXT, {"mean": [0.5]}, "texts of a network must be as an export has written them"),
])
def test_a_file_of_another_kind_than_the_data_does_not_teach(text, texts, rule, dataset, tmp_path):
    saved(tmp_path / "other.safetensors", text, **texts)
    with pytest.raises(InvalidInput, match=rule) as error:
        teacher_in_file(str(tmp_path / "other.safetensors"), dataset)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "rule"), [
    ("mobilenet_v1_0.25", "`nas import-weights` has read, but got 'mobilenet_v1_0.25' and there is no"),
    ("front", "candidates of a run teach in its exports, but got 'front' without a run"),
    ("front:0", "`front:N` takes a number of candidates, at least 1, but got 'front:0'"),
    ("lacking.safetensors", "weights must be a readable safetensors file, but got"),
])
def test_a_name_without_a_trained_network_is_refused(name, rule, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=rule):
        teachers_named([name], dataset, RECIPE)
    with pytest.raises(InvalidInput, match=r"a teacher needs images to predict, but got .* without data"):
        teachers_named([name], None, RECIPE)


def test_parts_of_a_teaching_without_a_teacher_are_refused(dataset):
    with pytest.raises(InvalidInput, match="`distillation_weight` is of a training with a teacher, but got"):
        teachers_named((), dataset, Recipe(1, distillation_weight=0.7))


def test_a_training_is_another_one_with_a_teacher_and_with_how_far_it_counts(dataset, tmp_path):
    saved(tmp_path / "big.safetensors")
    teacher = teacher_in_file(str(tmp_path / "big.safetensors"), dataset)
    recipes = Recipe(2), Recipe(2, distillation_weight=0.7), Recipe(2, distillation_temperature=2)
    identities = {training_id(NETWORK, "f", recipe, {}, [teacher]) for recipe in recipes}
    assert len(identities | {training_id(NETWORK, "f", Recipe(2), {})}) == 4


def test_the_most_accurate_candidates_of_a_run_teach_and_are_trained_once(make_config, gauge, tmp_path, monkeypatch):
    run = run_search(make_config(trials=4, batch=16), tmp_path / "run", gauge=gauge)
    calls = []

    def train(order, *others):
        calls.append(order.name)
        return random_arrays(order.architecture, seed=0), {"epochs": order.recipe.epochs}

    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", train)
    dataset = load_dataset(run.config.data)
    accuracies = sorted({one.architecture: one.accuracy for one in run.candidates() if one.trained}.values())
    for _ in range(2):
        teachers = best_trained(run, dataset, Recipe(2), Silent(), None, 2)
    assert [one.name for one in teachers] == calls
    found = {f"trial {one.trial}": one.accuracy for one in run.candidates()}
    assert [found[name] for name in calls] == accuracies[::-1][:2]
    for teacher in teachers:
        file = tmp_path / f"run/teacher-{teacher.architecture.id}.safetensors"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == teacher.sha256
    with pytest.raises(InvalidInput, match=r"at least as many trained candidates as are to teach, but .* of 99"):
        best_trained(run, dataset, Recipe(2), Silent(), None, 99)

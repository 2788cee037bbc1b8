import numpy as np
import pytest

import nas
import nas.export.delivery
import nas.export.trained
from evaluators.networks.checkpoint import load_arrays, save_network
from evaluators.recipe import Recipe
from nas.export.trained import (
    all_beside,
    keep_pruned,
    keep_trained,
    load_pruned,
    load_trained,
    require_replaceable,
    training_id,
    weights_beside,
)
from nas.report.certificate import certificate_report
from nas.run.monitor import Silent
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput
from tests.nas.conftest import Lines

NETWORK = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+head_c16_relu_n2")
FOUR_CLASSES = NETWORK.text.replace("_n2", "_n4")


def test_several_seeds_tell_how_far_the_accuracy_is_due_to_chance(photos, untimed, tmp_path, monkeypatch):
    given = {"data": photos, "epochs": 1, "batch": 16, "compile": "network"}
    alone = [nas.train(FOUR_CLASSES, seed=seed, out=tmp_path / f"alone{seed}", **given) for seed in (3, 4, 5)]
    accuracies = [exported.certificate["accuracy"]["network"] for exported in alone]
    assert len(set(accuracies)) > 1

    train, trained = nas.export.delivery._train_to_the_end, []

    def stopped(order, *others):
        trained.append(order.recipe.seed)
        if trained == [3, 4]:
            raise KeyboardInterrupt
        return train(order, *others)

    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", stopped)
    with pytest.raises(KeyboardInterrupt):
        nas.train(FOUR_CLASSES, seed=3, seeds=3, out=tmp_path / "out", **given)
    exported = nas.train(FOUR_CLASSES, seed=3, seeds=3, out=tmp_path / "out", **given)
    assert trained == [3, 4, 4, 5], "what was trained before is not trained again"
    found = exported.certificate["accuracy"]["over_seeds"]
    assert (found["count"], found["each"]) == (3, accuracies)
    assert found["mean"] == pytest.approx(np.mean(accuracies))
    assert found["deviation"] == pytest.approx(np.std(accuracies, ddof=1))
    delivered, first = (load_arrays(one.directory / "model.safetensors")[1] for one in (exported, alone[0]))
    assert all(np.array_equal(delivered[name], array) for name, array in first.items()), "that of the first seed"
    said = "".join(map(str, certificate_report(exported.certificate, exported.directory).renderables))
    assert f"3 seeds, of which the first is delivered: {100 * np.mean(accuracies):.2f} % on average" in said
    assert "over_seeds" not in alone[0].certificate["accuracy"]
    assert not list(tmp_path.glob("*.unfinished*"))


def test_an_export_from_fewer_seeds_takes_away_what_a_stopped_one_has_left(tmp_path):
    for number in (1, 2, 3, 5):
        weights_beside(tmp_path / "out", number).touch()
    assert [path.name for path in all_beside(tmp_path / "out", 1)] == [
        "out.unfinished.safetensors", "out.2.unfinished.safetensors", "out.3.unfinished.safetensors"]
    assert len(all_beside(tmp_path / "another", 2)) == 2


@pytest.mark.parametrize("changes", [{}, {"epochs": 2}])
def test_a_training_whose_export_was_stopped_is_not_lost_and_not_taken_for_another(
        changes, data, untimed, tmp_path, monkeypatch):
    given = {"data": data, "epochs": 1, "batch": 16, "out": tmp_path / "out"}

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(nas.export.delivery, "time_files", killed)
        with pytest.raises(KeyboardInterrupt):
            nas.train(NETWORK.text, **given)
    kept = tmp_path / "out.unfinished.safetensors"
    assert [path for path in tmp_path.iterdir() if path.name.startswith("out")] == [kept]
    _, arrays = load_arrays(kept)
    trained, train = [], nas.export.delivery._train_to_the_end
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end",
                        lambda *arguments: trained.append(True) or train(*arguments))
    exported = nas.train(NETWORK.text, **given | changes)
    assert trained == [True] * bool(changes)
    _, shipped = load_arrays(exported.directory / "model.safetensors")
    assert all(np.array_equal(shipped[name], arrays[name]) for name in arrays) == (not changes)
    assert exported.certificate["training"]["images"] == 160
    assert not kept.exists()


def test_a_training_that_was_killed_goes_on_from_its_checkpoint_to_the_same_weights(
        data, untimed, tmp_path, monkeypatch):
    given = {"data": data, "epochs": 4, "batch": 16, "average": 0.9}
    undisturbed = nas.train(NETWORK.text, **given, out=tmp_path / "undisturbed")
    monkeypatch.setattr(nas.export.trained, "EVERY_S", 0)

    class Killing(Silent):
        def progress(self, what, done, total):
            if what.startswith("final training") and done == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nas.train(NETWORK.text, **given, out=tmp_path / "out", monitor=Killing())
    kept = tmp_path / "out.unfinished.safetensors"
    content = kept.read_bytes()
    _, weights = load_arrays(undisturbed.directory / "model.safetensors")
    for left in (content[:len(content) // 2], content):
        kept.write_bytes(left)
        monitor = Lines()
        again = nas.train(NETWORK.text, **given, out=tmp_path / "out", monitor=monitor)
        _, found = load_arrays(again.directory / "model.safetensors")
        assert all(np.array_equal(weights[name], found[name]) for name in weights)
        assert not kept.exists()
        assert any("going on after 3" in line for line in monitor.lines) == (left == content)


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[:9], lambda content: content[:-1], lambda content: bytes(len(content)),
    lambda content: content.replace(NETWORK.text.encode(), NETWORK.text.replace("c16", "c32").encode()),
    lambda content: content[:-4] + b"\xff" * 4])
def test_damaged_weights_beside_an_export_count_as_none_and_may_be_written_over(damage, tmp_path):
    arrays, training = random_arrays(NETWORK, seed=3), {"images": 1, "epochs": 1, "duration_s": 1.0}
    pruned, trained = tmp_path / "out.pruned.safetensors", tmp_path / "out.unfinished.safetensors"
    keep_pruned(pruned, "of this", NETWORK, arrays)
    keep_trained(trained, "of this", NETWORK, arrays, training)
    assert load_pruned(pruned, "of this")[0] == NETWORK
    assert load_trained(trained, "of this")[1] == training
    for path in (pruned, trained):
        path.write_bytes(damage(path.read_bytes()))
        require_replaceable(path)
    assert load_pruned(pruned, "of this") is load_trained(trained, "of this") is None


def test_a_training_of_an_earlier_version_is_found_again():
    """The identity that version 0.1 gave it."""
    architecture = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e2_c8_s1_se0.25_hswish+head_c16_relu_n2")
    assert training_id(architecture, "f", Recipe(20, 64, seed=1), {}) == (
        "aa05bbe0d9eb4508a519f35ccb93c9b9c8089923851004c5411f6f5f939f8b7b")
    assert training_id(architecture, "f", Recipe(20, 64, seed=1, mixup=0.2), {})[:8] != "aa05bbe0"


def test_a_file_that_no_export_has_left_is_not_written_over(data, tmp_path):
    save_network(NETWORK, random_arrays(NETWORK, seed=3), tmp_path / "out.unfinished.safetensors")
    with pytest.raises(InvalidInput, match="is another file"):
        nas.train(NETWORK.text, data=data, out=tmp_path / "out")

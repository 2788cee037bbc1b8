"""An export is replaced whole, and only an export."""

import json
import os
import py_compile
import shutil
from pathlib import Path

import pytest

import nas
import nas.export.certificate
import nas.export.delivery
from evaluators.latency import Latency
from nas.export.place import require_place
from nas.problem.budgets import Budgets
from nas.run.monitor import Silent
from search_spaces import Architecture, InvalidInput
from tests.nas.conftest import Lines

NETWORK = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+head_c16_relu_n2")
AS_IT_IS = {"epochs": 0, "formats": ["flax"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An export with a file that needs another one beside itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nas.export.certificate, "measure_once",
                      lambda *arguments, **named: Latency(1.0, 0.99, 1.01, 1.0, 10, 0.1, 0.1, 0.1, 0.0))
        return nas.train(NETWORK.text, epochs=0, formats=["flax", "python"],
                         out=tmp_path_factory.mktemp("made") / "mine").directory


@pytest.fixture
def mine(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "mine"))


def content(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


FOREIGN = {
    "a note": ("NOTES.txt", lambda path: path.write_text("mine")),
    "a hidden file": (".key", lambda path: path.write_text("mine")),
    "a directory": ("plots", lambda path: path.mkdir()),
    "a directory in the place of a file": ("model.onnx", lambda path: (path.unlink(), path.mkdir())),
    "a source file that was edited": ("model.py", lambda path: path.write_text(f"{path.read_text()}# mine\n")),
    "weights that were edited": ("model_weights.safetensors", lambda path: path.write_bytes(b"mine")),
    "a certificate that was cut off": ("certificate.json", lambda path: os.truncate(path, 1000)),
    "no certificate": ("model.onnx", lambda path: (path.parent / "certificate.json").unlink()),
    "the certificate of something else": (
        "certificate.json", lambda path: path.write_text(json.dumps({"issuer": "my CA"}))),
    "a certificate without files": ("certificate.json", lambda path: path.write_text(json.dumps(
        {name: value for name, value in json.loads(path.read_text()).items() if name != "files"}))),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_no_export_has_written_is_named_in_one_line_and_stays(kind, mine, data, nas, monkeypatch):
    monkeypatch.setattr("nas.export.delivery._train_to_the_end", None)
    name, put = FOREIGN[kind]
    put(mine / name)
    before = content(mine)
    for options in (("--epochs", 0), ("--data", data)):
        status, _, error = nas("train", NETWORK.text, *options, "--out", mine)
        assert (status, error.count("\n")) == (2, 1)
        assert f"the place of another, where all is as an export has written it, but '{mine / name}' is not" in error
    assert content(mine) == before and (mine / name).exists()
    assert list(mine.parent.iterdir()) == [mine]


@pytest.mark.parametrize("place", ["precious", "file"])
def test_what_is_no_export_at_all_stays(place, tmp_path):
    (tmp_path / "precious").mkdir()
    for path in (tmp_path / "precious" / "thesis.tex", tmp_path / "file"):
        path.write_text("years of work")
    with pytest.raises(InvalidInput, match=r"a new or empty directory .* but '.*(thesis\.tex|file)' is not"):
        require_place(tmp_path / place)


def test_files_that_are_gone_and_what_python_makes_of_sources_are_no_hindrance(mine):
    (mine / "model.onnx").unlink()
    py_compile.compile(str(mine / "model.py"))
    assert (mine / "__pycache__").is_dir()
    require_place(mine)


def test_an_export_goes_to_an_empty_directory_also_behind_a_link_and_never_to_the_current_one(
        mine, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("new", "empty", "link"):
        require_place(tmp_path / name)
    with pytest.raises(InvalidInput, match="an export goes to a directory, but got '-'"):
        require_place(Path("-"))
    for directory in (tmp_path / "empty", mine):
        monkeypatch.chdir(directory)
        with pytest.raises(InvalidInput, match=r"to another directory than the current one, but got '\.'"):
            require_place(Path())


def test_it_is_said_which_export_is_replaced_and_which_files_go_with_it(mine, untimed):
    monitor = Lines()
    written = json.loads((mine / "certificate.json").read_text())["timings"][0]["environment"]["written"]
    exported = nas.train(NETWORK.text, **AS_IT_IS, out=mine, monitor=monitor)
    place = f"takes the place of the export of {written[:10]} {written[11:19]} UTC in '{mine}'"
    assert monitor.lines == [f"{NETWORK.id}: {place}, which removes its model.py, model_weights.safetensors"]
    assert set(content(mine)) == {"certificate.json", *(entry["file"] for entry in exported.certificate["files"])}
    nas.train(NETWORK.text, **AS_IT_IS, out=mine, monitor=monitor)
    assert monitor.lines[1].endswith(f"in '{mine}'")
    nas.train(NETWORK.text, **AS_IT_IS, out=mine.with_name("new"), monitor=monitor)
    assert len(monitor.lines) == 2


def test_what_is_put_there_during_the_training_stays_and_so_does_the_training(mine, data, untimed, monkeypatch):
    before, monitor = content(mine), Lines()

    class Putting(Silent):
        def progress(self, what, done, total):
            (mine / "NOTES.txt").write_text("mine")

    with pytest.raises(InvalidInput, match=r"but '.*NOTES\.txt' is not"):
        nas.train(NETWORK.text, data=data, epochs=1, batch=16, out=mine, monitor=Putting())
    assert content(mine) == before | {"NOTES.txt": b"mine"}
    (mine / "NOTES.txt").unlink()
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", None)
    exported = nas.train(NETWORK.text, data=data, epochs=1, batch=16, out=mine, monitor=monitor)
    assert exported.certificate["training"]["epochs"] == 1
    assert f"{NETWORK.id}: trained before, going on from '{mine}.unfinished.safetensors'" in monitor.lines
    assert list(mine.parent.iterdir()) == [mine]


def test_a_network_is_not_lost_to_what_is_made_of_it(mine, data, tmp_path):
    weights, before = str(mine / "model.safetensors"), content(mine)
    (tmp_path / "link").symlink_to(mine)
    budgets = Budgets(macs=NETWORK.macs // 2)
    for out in (mine, tmp_path / "link"):
        for making in (lambda out: nas.train(weights, data=data, out=out),
                       lambda out: nas.train(NETWORK.text, teacher=weights, data=data, out=out),
                       lambda out: nas.compress(str(mine), budgets=budgets, data=data, out=out),
                       lambda out: nas.compress(weights, budgets=budgets, data=data, out=out)):
            with pytest.raises(InvalidInput, match=r"a network that it is made of, but '.*model\.safetensors' is in"):
                making(out)
    assert content(mine) == before

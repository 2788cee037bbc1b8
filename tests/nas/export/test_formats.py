"""The formats of an export: those of runtimes, and those that no runtime takes."""

import dataclasses
import json

import numpy as np
import pytest

import nas
import nas.export.certificate
from evaluators.latency import Latency
from evaluators.networks.network import Network, logits_of
from evaluators.runtimes import RUNTIMES
from nas.export.formats import FORMATS, Format
from nas.report.certificate import certificate_report
from search_spaces import Architecture
from search_spaces.errors import InvalidInput

NETWORK = Architecture.parse("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3")


def write_arrays(architecture, arrays, path, metadata, images=None):
    with path.open("wb") as file:
        np.savez(file, text=architecture.text, **{name.replace("/", "|"): array for name, array in arrays.items()})


def load_arrays(path):
    stored = dict(np.load(path))
    architecture = Architecture.parse(str(stored.pop("text")))
    network = Network(architecture, arrays={name.replace("|", "/"): array for name, array in stored.items()})
    return lambda images: np.asarray(logits_of(network, images))


def test_a_format_is_named_as_its_runtime_names_it():
    assert all(FORMATS[name].name == name for name in FORMATS)
    assert {name: entry.runtime and RUNTIMES[entry.runtime].format for name, entry in FORMATS.items()} == {
        "onnx": "onnx", "litert": "litert", "stablehlo": "stablehlo", "flax": None, "python": None,
        "torch": None}


def test_files_of_different_formats_have_different_names():
    suffixes = {entry.suffix for entry in FORMATS.values()}
    assert len(suffixes) == len(FORMATS)


def test_a_format_whose_library_is_missing_is_refused_before_anything_is_done(monkeypatch, tmp_path):
    monkeypatch.setitem(FORMATS, "torch", dataclasses.replace(FORMATS["torch"], module="no_such_library"))
    with pytest.raises(InvalidInput, match=r"'torch' needs its library \(pip install no_such_library\), but"):
        nas.train(NETWORK.text, epochs=0, formats=["torch"], out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_format_that_no_runtime_takes_is_one_entry(monkeypatch, tmp_path):
    monkeypatch.setitem(FORMATS, "numpy", Format("numpy", ".npz", write_arrays, load_arrays))
    monkeypatch.setattr(nas.export.certificate, "measure_once",
                        lambda *arguments, **named: Latency(1.0, 0.99, 1.01, 1.0, 10, 0.1, 0.1, 0.1, 0.0))
    exported = nas.train(NETWORK.text, epochs=0, formats=["numpy"], out=tmp_path / "out")
    entry = json.loads((tmp_path / "out" / "certificate.json").read_text())["files"][1]
    assert (entry["format"], entry["file"], entry["max_abs_difference"]) == ("numpy", "model.npz", 0.0)
    assert "target" not in entry
    assert list(exported.certificate["timings"][0]["latencies"]) == ["onnxruntime"]  # there is nothing to time it
    assert certificate_report(exported.certificate, exported.directory)

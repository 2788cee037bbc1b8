"""The scripts of docs/files.md, each run where only what it says to install can be imported."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

import evaluators.training.logistic_regression
import nas
import nas.export.certificate
from evaluators.datasets.images import read_images
from evaluators.latency import Latency
from evaluators.networks.checkpoint import load_network
from nas.export.certificate import read_export
from nas.export.formats import FORMATS
from search_spaces.errors import InvalidInput

DOCUMENT = (Path(__file__).parents[3] / "docs" / "files.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```sh\npip install ([^\n]*)\n```\n```python\n(.*?)```", DOCUMENT, re.DOTALL)
NETWORK = "in_r16_c3+conv_k3_c16_s2_relu+mb_k3_e3_c16_s1_se0.25_hswish+head_c32_relu_n5"
CLASSES = ["ant", "bee", "cat", "dog", "élan"]
HERE = [name for name, entry in FORMATS.items() if not entry.module or find_spec(entry.module)]
RUN = """
import json, sys
from importlib.machinery import PathFinder

places, allowed, script = json.loads(sys.argv.pop(1))
standard = list(sys.path)

class Allowed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return PathFinder.find_spec(name, path or (None if name in allowed else standard), target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Allowed
sys.path += places
exec(script)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A directory with an export, one with the normalisation inside below it, and a picture."""
    directory, generator = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    arrays: dict = {"classes": CLASSES}
    for part in ("train", "val", "test"):
        arrays[f"x_{part}"] = (generator.random((40, 16, 16, 3)) * [255, 128, 64]).astype(np.uint8)
        arrays[f"y_{part}"] = np.arange(40) % len(CLASSES)
    np.savez(directory / "data.npz", **arrays)
    picture = Image.fromarray(generator.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    picture.resize((90, 61)).save(directory / "picture.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nas.export.certificate, "measure_once",
                      lambda *arguments, **named: Latency(1.0, 0.99, 1.01, 1.0, 10, 0.1, 0.1, 0.1, 0.0))
        patch.setattr(evaluators.training.logistic_regression, "easy_accuracy", lambda dataset: 0.2)
        for name, inside in (("out", False), ("out/inside", True)):
            nas.train(NETWORK, data=str(directory / "data.npz"), epochs=0, formats=HERE, out=directory / name,
                      preprocess_inside=inside)
    return directory


def installed(names):
    """Returns the distributions that `pip install` of some names would install; skips the test without one."""
    found, left = {}, list(names)
    while left:
        name = left.pop()
        if name not in found:
            try:
                found[name] = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                pytest.skip(f"needs {name}: pip install {name}")
            requirements = map(Requirement, found[name].requires or ())
            left += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found.values()


@pytest.mark.parametrize(("packages", "script"), SCRIPTS, ids=[packages for packages, _ in SCRIPTS])
def test_a_script_classifies_a_picture_where_nothing_else_is_installed(packages, script, exported):
    distributions = installed(packages.split())
    places = [*{str(distribution.locate_file("")) for distribution in distributions}, str(exported / "out")]
    allowed = {file.parts[0].partition(".")[0] for distribution in distributions for file in distribution.files}
    logits = "print(*logits)" if "logits" in script else ""
    request = json.dumps([places, sorted({*allowed, "model", "model_torch"}), script + logits])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUN, request, "../picture.png"], check=False,
        cwd=exported / "out", capture_output=True, text=True, encoding="utf-8", env={"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stderr
    picture = read_images({"training": [exported / "picture.png"]}, 16).pixels["training"]
    texts = json.loads((exported / "out" / "certificate.json").read_text())["preprocessing"]
    mean, std = (np.array(json.loads(texts[name])) for name in ("mean", "std"))
    network = load_network(exported / "out" / "model.safetensors")
    expected = np.asarray(network(((picture / 255 - mean) / std).astype(np.float32)))[0]
    said, *numbers = done.stdout.split()
    assert said == CLASSES[expected.argmax()]
    if logits:
        np.testing.assert_allclose([float(number) for number in numbers], expected, atol=1e-4)


def test_every_format_has_a_row_and_its_texts(exported):
    rows = re.findall(r"^\| `(\w+)` \| `(model\w*\.\w+)` \|.*?(\w+ `\[.*?\]`)", DOCUMENT, re.MULTILINE)
    assert [(name, file) for name, file, _ in rows] == [
        (name, f"model{entry.suffix}") for name, entry in FORMATS.items()]
    assert [layout.replace("`", "") for _, _, layout in rows] == [entry.layout for entry in FORMATS.values()]


def test_weights_beside_a_source_are_certified_with_it(exported, tmp_path):
    directory = shutil.copytree(exported / "out", tmp_path / "out")
    entry = next(entry for entry in read_export(directory).certificate["files"] if entry["format"] == "python")
    weights = directory / entry["beside"]["file"]
    assert entry["max_abs_difference"] <= 1e-5 * entry["largest_logit"]
    assert weights.stat().st_size == entry["beside"]["size_bytes"]
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(InvalidInput, match=r"model_weights\.safetensors' is another"):
        read_export(directory)


def test_files_that_normalise_are_judged_as_they_are_and_agree(exported):
    plain, inside = (json.loads((exported / name / "certificate.json").read_text())["files"]
                     for name in ("out", "out/inside"))
    assert [entry.get("input") for entry in inside] == [
        "uint8 [batch, height, width, channels]"] * 3 + [None] * (len(HERE) - 3)
    for one, other in zip(plain, inside, strict=True):
        assert one["compared_images"] == other["compared_images"] == 40
        assert other["max_abs_difference"] < 1e-4
        assert (one["test_accuracy"], one["top_class_agreement"]) == (
            other["test_accuracy"], other["top_class_agreement"])


@pytest.mark.slow
@pytest.mark.parametrize("inside", ["", "--preprocess-inside"])
def test_two_equal_trainings_leave_equal_bytes(inside, exported, tmp_path):
    """Each in a process of its own, in which sets and hash tables have another order."""
    contents = set()
    for seed in ("1", "2"):
        out = tmp_path / f"on {seed}"
        arguments = ["train", NETWORK, "--data", exported / "data.npz", "--epochs", "1", "--target", "onnxruntime",
                     "--target", "onnxruntime:precision=int8", "--format", ",".join(HERE), "--out", out]
        done = subprocess.run([sys.executable, "-m", "nas.cli", *arguments, *inside.split()], check=False,
                              capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": seed})
        assert done.returncode in (0, 1), done.stderr  # 1 where int8 loses accuracy
        contents.add(tuple(path.read_bytes() for path in sorted(out.glob("model*"))))
    (files,) = contents
    assert len(files) == 1 + len(HERE) + len([name for name in HERE if FORMATS[name].beside])

import json
import zipfile

import jax
import numpy as np
import pytest

from evaluators.networks.network import forward
from evaluators.runtimes import RUNTIMES, Options, Place
from search_spaces import Architecture, InvalidInput

XLA = RUNTIMES["xla"]


@pytest.fixture(scope="module")
def written(tmp_path_factory, random_arrays):
    architecture = Architecture.parse(
        "in_r10_c1+conv_k3_c8_s2_relu6+mb_k3_e3_c8_s1_se0.25_hswish+head_c16_swish_n4")
    arrays = random_arrays(architecture.program, 0)
    path = tmp_path_factory.mktemp("xla") / "model.stablehlo"
    XLA.write(architecture, arrays, path, {"architecture": architecture.text})
    return architecture, arrays, path


@pytest.mark.parametrize("batch", [1, 3])
def test_a_file_that_is_written_and_loaded_computes_what_the_network_does(written, batch):
    architecture, arrays, path = written
    images = np.random.default_rng(0).standard_normal((batch, 10, 10, 1), np.float32)
    expected = jax.jit(lambda x: forward(architecture.program, arrays, x))(images)
    logits = XLA.load(path, Options(batch=batch)).run(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_a_file_is_an_exported_module_for_any_batch(written):
    exported = jax.export.deserialize(bytearray(written[2].read_bytes()))
    assert exported.call(np.zeros((5, 10, 10, 1), np.float32)).shape == (5, 4)
    assert list(written[2].parent.iterdir()) == [written[2]]


def test_a_file_is_for_cpus_gpus_and_tpus_and_has_its_texts(written):
    architecture, _, path = written
    assert jax.export.deserialize(bytearray(path.read_bytes())).platforms == ("cpu", "cuda", "tpu")
    assert json.loads(zipfile.ZipFile(path).read("texts.json")) == {"architecture": architecture.text}


def test_a_file_tells_nothing_of_where_it_was_written(written, monkeypatch):
    architecture, arrays, path = written
    names: dict = {}
    exec(compile("def write(*given):\n\n    XLA.write(*given)", "/somewhere/else.py", "exec"), {"XLA": XLA}, names)
    jax.clear_caches()
    names["write"](architecture, arrays, path.with_name("other"), {"architecture": architecture.text})
    content = path.with_name("other").read_bytes()
    path.with_name("other").unlink()
    assert content == path.read_bytes()
    assert b".py" not in content


def test_timed_runs_wait_for_the_logits(written):
    _, _, path = written
    assert XLA.load(path, Options()).prepared(np.zeros((1, 10, 10, 1), np.float32))() is not None


def test_threads_are_refused_where_there_are_none(written, monkeypatch):
    monkeypatch.setattr(type(XLA), "place", Place.HERE)
    with pytest.raises(InvalidInput, match="threads"):
        XLA.load(written[2], Options(threads=2))

import json
import struct

import numpy as np
import pytest
from hypothesis import given, strategies
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from evaluators.networks.checkpoint import (
    arrays_in,
    checkpoint_file,
    load_arrays,
    load_network,
    network_file,
    require_whole,
    save_checkpoint,
    save_network,
    sealed,
)
from evaluators.networks.weights import initial_arrays
from search_spaces import Architecture, InvalidInput

ARCHITECTURE = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0.25_hswish+head_c16_relu_n2")


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    return {name: (0.5 + generator.random(array.shape)).astype(np.float32)
            for name, array in initial_arrays(ARCHITECTURE.program, seed=0).items()}


def test_a_network_comes_back_as_it_was_saved(arrays, tmp_path):
    path = tmp_path / "new" / "network.safetensors"
    save_network(ARCHITECTURE, arrays, path, {"classes": "[]"})
    architecture, found = load_arrays(path)
    assert architecture == ARCHITECTURE
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    network = load_network(str(path))
    assert network.architecture == ARCHITECTURE
    assert all(np.array_equal(array, arrays[name]) for name, array in network.arrays().items())
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_checkpoint_comes_back_whatever_its_shapes_and_types():
    saved = {"epochs": np.array(3), "transposed": np.ones((2, 3), np.float32).T, "count": np.arange(4),
             "none": np.zeros((0,))}
    content = checkpoint_file(saved)
    for file in (content, sealed(content), sealed(sealed(content))):
        found = arrays_in(file)
        assert found.keys() == saved.keys()
        for name, array in saved.items():
            assert np.array_equal(found[name], array) and found[name].dtype == array.dtype


def test_no_arrays_need_no_file(tmp_path):
    save_checkpoint({}, tmp_path / "one.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_sealed_file_is_plain_safetensors_with_the_same_arrays_and_texts(arrays, tmp_path):
    path = tmp_path / "network.safetensors"
    path.write_bytes(sealed(network_file(ARCHITECTURE, arrays, {"classes": "[]"})))
    assert all(np.array_equal(array, arrays[name]) for name, array in load_file(path).items())
    with safe_open(path, "numpy") as file:
        assert file.metadata().keys() == {"architecture", "classes", "sha256"}
    assert load_arrays(path)[0] == ARCHITECTURE


SEALED = sealed(checkpoint_file({"a": np.arange(6, dtype=np.float32), "epochs": np.array(3)}))


@given(strategies.integers(0, len(SEALED) - 1), strategies.integers(0, 7))
def test_a_sealed_file_in_which_a_bit_has_changed_is_refused_or_has_the_same_arrays(place, bit):
    damaged = bytearray(SEALED)
    damaged[place] ^= 1 << bit
    try:
        found = arrays_in(bytes(damaged))
    except InvalidInput as error:
        assert str(error).startswith("a kept network must be a safetensors file as it was written")
    else:  # the word sha256 itself, or a space that fills the header up
        assert {name: array.tolist() for name, array in found.items()} == {
            name: array.tolist() for name, array in arrays_in(SEALED).items()}


@given(strategies.integers(0, len(SEALED) - 1))
def test_a_sealed_file_that_was_cut_is_refused(length):
    with pytest.raises(InvalidInput, match="as it was written"):
        require_whole(SEALED[:length])


def test_the_file_is_plain_safetensors_that_others_read(arrays, tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(ARCHITECTURE, arrays, path, {"classes": '["a"]', "architecture": "is not the caller's to say"})
    assert all(np.array_equal(array, arrays[name]) for name, array in load_file(path).items())
    content = path.read_bytes()
    header = json.loads(content[8:8 + struct.unpack("<Q", content[:8])[0]])
    assert header["__metadata__"] == {"classes": '["a"]', "architecture": ARCHITECTURE.text}


def test_equal_networks_are_equal_files(arrays, tmp_path):
    texts = {f"{place} \"quoted\" é": "text" for place in range(20)}
    contents = set()
    for order in (1, -1):
        shuffled = dict(list(arrays.items())[::order])
        save_network(ARCHITECTURE, shuffled, tmp_path / "one.safetensors", dict(list(texts.items())[::order]))
        contents.add((tmp_path / "one.safetensors").read_bytes())
    (content,) = contents
    length = struct.unpack("<Q", content[:8])[0]
    assert list(json.loads(content[8:8 + length])) == sorted(["__metadata__", *arrays])
    assert length % 8 == 0
    assert all(np.array_equal(array, arrays[name]) for name, array in load_file(tmp_path / "one.safetensors").items())


def test_arrays_that_are_views_are_saved_by_value(arrays, tmp_path):
    name = next(name for name in arrays if arrays[name].ndim == 4)
    turned = {**arrays, name: np.ascontiguousarray(arrays[name].T).T}
    save_network(ARCHITECTURE, turned, tmp_path / "network.safetensors")
    assert np.array_equal(load_arrays(tmp_path / "network.safetensors")[1][name], arrays[name])


def test_a_failed_write_leaves_the_old_file(arrays, tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(ARCHITECTURE, arrays, path)
    before = path.read_bytes()
    with pytest.raises(Exception, match=r"dtype|object|type"):
        save_network(ARCHITECTURE, {**arrays, "strange": np.array([object()])}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def refused(path):
    with pytest.raises(InvalidInput) as error:
        load_arrays(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"not safetensors", b"\xff" * 100])
def test_what_is_no_safetensors_file_is_refused(content, tmp_path):
    path = tmp_path / "network.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert "must be a readable safetensors file" in refused(path)


def test_a_directory_is_refused(tmp_path):
    assert "must be a readable safetensors file" in refused(tmp_path)


def test_a_cut_file_is_refused(arrays, tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(ARCHITECTURE, arrays, path)
    path.write_bytes(path.read_bytes()[:-10])
    assert "must be a readable safetensors file" in refused(path)


def test_a_file_without_an_architecture_is_refused(arrays, tmp_path):
    path = tmp_path / "network.safetensors"
    save_file(arrays, path)
    assert "names its architecture" in refused(path)
    save_file(arrays, path, {"other": "text"})
    assert "names its architecture" in refused(path)


def test_a_file_with_a_wrong_architecture_is_refused(arrays, tmp_path):
    path = tmp_path / "network.safetensors"
    save_file(arrays, path, {"architecture": "in_r12_c1+conv_k4_c8_s2_relu+head_c16_relu_n2"})
    with pytest.raises(InvalidInput, match="`kernel` must be odd"):
        load_arrays(path)


def test_arrays_that_do_not_fit_the_architecture_are_refused(arrays, tmp_path):
    path = tmp_path / "network.safetensors"
    name, array = next((name, array) for name, array in arrays.items() if name.endswith("/var"))
    save_network(ARCHITECTURE, {key: value for key, value in arrays.items() if key != name}, path)
    assert f"`{name}` must have the shape {array.shape}, but '{path}' has nothing" in refused(path)
    save_network(ARCHITECTURE, {**arrays, name: np.zeros(3, np.float32)}, path)
    assert f"`{name}` must have the shape {array.shape}, but '{path}' has (3,)" in refused(path)

import json
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from evaluators.networks.network import Network
from evaluators.networks.pretrained import choose_tensors, import_weights, output_difference, read_weights
from experiments.reference_logits import reference_arrays
from search_spaces import Architecture, InvalidInput

# A small network with the names that torchvision gives ResNet's modules.
NETWORK = Architecture.parse("in_r8_c3_symmetric+conv_k3_c8_s1_relu+basic_c8_s1_relu+basic_c16_s2_relu+fc_n5")
NAMES = {
    "0.conv": ("conv1", "bn1"),
    "1.basic/first": ("layer1.0.conv1", "layer1.0.bn1"),
    "1.basic/second": ("layer1.0.conv2", "layer1.0.bn2"),
    "2.basic/first": ("layer2.0.conv1", "layer2.0.bn1"),
    "2.basic/second": ("layer2.0.conv2", "layer2.0.bn2"),
    "2.basic/shortcut": ("layer2.0.downsample.0", "layer2.0.downsample.1"),
}
LEAVES = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def state_dict(arrays):
    """Returns the arrays as PyTorch would save them."""
    tensors = {"fc.weight": arrays["3.fc/dense/kernel"].T, "fc.bias": arrays["3.fc/dense/bias"]}
    for own, (convolution, norm) in NAMES.items():
        tensors[f"{convolution}.weight"] = arrays[f"{own}/convolution/kernel"].transpose(3, 2, 0, 1)
        tensors |= {f"{norm}.{leaf}": arrays[f"{own}/batch_norm/{key}"] for key, leaf in LEAVES.items()}
        tensors[f"{norm}.num_batches_tracked"] = np.zeros((), np.float32)
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


@pytest.fixture
def arrays():
    return reference_arrays(NETWORK)


@pytest.fixture
def tensors(arrays):
    return state_dict(arrays)


def test_a_state_dict_comes_back_as_our_arrays(arrays, tensors, tmp_path):
    save_file(tensors, tmp_path / "weights.safetensors")
    imported = import_weights(NETWORK, read_weights(tmp_path / "weights.safetensors"))
    assert imported.keys() == arrays.keys()
    assert all(np.array_equal(imported[name], arrays[name]) for name in arrays)


def test_half_precision_becomes_single(tensors, tmp_path):
    save_file({name: tensor.astype(np.float16) for name, tensor in tensors.items()}, tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in read_weights(tmp_path / "half.safetensors").values()} == {np.dtype(np.float32)}


def test_an_imported_network_computes_what_the_arrays_say(arrays, tensors):
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 3), np.float32)
    outputs = np.asarray(Network(NETWORK, arrays=arrays)(images))
    imported = import_weights(NETWORK, tensors)
    assert output_difference(NETWORK, imported, images, outputs) < 1e-5
    assert output_difference(NETWORK, imported, images, -outputs) == pytest.approx(2, rel=1e-3)


def test_auxiliary_classifiers_are_left_out(tensors):
    import_weights(NETWORK, tensors | {"aux1.conv.weight": np.zeros((4, 8, 1, 1), np.float32)})


def test_a_1x1_convolution_may_stand_for_a_dense_layer(arrays, tensors):
    tensors["fc.weight"] = tensors["fc.weight"][:, :, None, None]
    assert np.array_equal(import_weights(NETWORK, tensors)["3.fc/dense/kernel"], arrays["3.fc/dense/kernel"])


def wrong(tensors):
    with pytest.raises(InvalidInput) as error:
        import_weights(NETWORK, tensors)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_misshaped_tensor_is_told_with_layer_and_both_shapes(tensors):
    tensors["layer2.0.conv1.weight"] = np.zeros((16, 8, 5, 5), np.float32)
    assert wrong(tensors) == ("the layer '2.basic/first/convolution/kernel' needs 16x8x3x3, but the file has "
                              "'layer2.0.conv1.weight' of 16x8x5x5 in its place")


def test_a_missing_layer_is_told_where_the_shapes_part(tensors):
    del tensors["layer2.0.conv1.weight"]
    assert wrong(tensors) == ("the layer '2.basic/first/convolution/kernel' needs 16x8x3x3, but the file has "
                              "'layer2.0.conv2.weight' of 16x16x3x3 in its place (it has 6 such layers, the network 7)")


def test_a_missing_part_of_a_layer_is_told(tensors):
    del tensors["layer1.0.bn2.running_var"]
    assert wrong(tensors) == ("the layer '1.basic/second/batch_norm/var' needs 8, but the file has no "
                              "'layer1.0.bn2.running_var'")


def test_an_extra_layer_is_told(tensors):
    tensors["layer3.0.bn1.weight"] = np.zeros(16, np.float32)
    tensors["layer3.0.bn1.running_mean"] = np.zeros(16, np.float32)
    assert wrong(tensors) == ("every tensor of the file must belong to a layer, but 'layer3.0.bn1' of 16 is one too "
                              "many (it has 7 such layers, the network 6)")


def test_an_extra_part_of_a_layer_is_told(tensors):
    tensors["conv1.bias"] = np.zeros(8, np.float32)
    assert wrong(tensors) == ("every tensor of the file must belong to a layer, but '0.conv/convolution' has no place "
                              "for 'conv1.bias' of 8")


def test_other_numbers_of_classes_are_told(tensors):
    tensors["fc.weight"] = np.zeros((7, 16), np.float32)
    assert "'3.fc/dense/kernel' needs 5x16, but the file has 'fc.weight' of 7x16" in wrong(tensors)


    assert wrong(tensors).endswith("; --classes 7 gives the network as many")
    tensors["fc.weight"] = np.zeros((7, 12), np.float32)
    assert "--classes" not in wrong(tensors)


def test_bfloat16_is_the_upper_half_of_single_precision(tmp_path):
    values = np.array([[1.5, -2.0, 3.140625], [0.0, 2.0**30, -(2.0**-100)]], np.float32)  # of at most 8 bits
    content = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, len(content)]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + content)
    assert np.array_equal(read_weights(tmp_path / "w.safetensors")["w"], values)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_counters_are_passed_over(dtype, shape, tensors, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(tensors | {"epoch": np.ones(shape, dtype), "ema.decay": np.array(0.9, np.float32)}, path)
    assert read_weights(path).keys() == tensors.keys()


@pytest.mark.parametrize(("tensor", "reason"), [
    (np.ones((2, 3), np.int8), "of floating point numbers (F64, F32, F16, BF16), but is of I8"),
    (np.array([1, np.nan], np.float32), "of finite numbers up to 1e+12, but has nan"),
])
def test_tensors_that_are_no_finite_weights_are_told(tensor, reason, tmp_path):
    save_file({"conv.weight": tensor}, tmp_path / "w.safetensors")
    with pytest.raises(InvalidInput, match=re.escape(f"w.safetensors': 'conv.weight' must be {reason}")):
        read_weights(tmp_path / "w.safetensors")


WRAPPERS = st.lists(st.sampled_from(["module", "_orig_mod", "model", "net", "state_dict", "0"]), max_size=3)


@given(WRAPPERS, WRAPPERS)
def test_a_prefix_that_all_names_share_is_stripped(chosen, shared):
    tensors = state_dict(reference_arrays(NETWORK))
    prefix = "".join(f"{name}." for name in [*chosen, *shared])
    wrapped = {prefix + name: tensor for name, tensor in tensors.items()}
    for weights_of in {"", ".".join(chosen)}:
        found, stripped = choose_tensors(wrapped, NETWORK.program, weights_of)
        assert stripped == prefix and found.keys() == tensors.keys()
        assert all(found[name] is tensors[name] for name in tensors)


@given(st.sets(st.sampled_from(["model", "model_ema", "state_dict", "teacher"]), min_size=2), WRAPPERS)
def test_of_several_sets_of_weights_one_is_chosen(names, shared):
    tensors = state_dict(reference_arrays(NETWORK))
    prefix = "".join(f"{name}." for name in shared)
    both = {f"{prefix}{name}.{key}": tensor for name in names for key, tensor in tensors.items()}
    listed = ", ".join(sorted(prefix + name for name in names))
    with pytest.raises(InvalidInput, match=f"there are {len(names)} sets, {re.escape(listed)}; --weights-of"):
        choose_tensors(both, NETWORK.program)
    for name in names:
        assert choose_tensors(both, NETWORK.program, prefix + name)[0].keys() == tensors.keys()


def test_a_set_that_is_not_there_is_told_with_those_that_are(tensors):
    both = {f"{name}.{key}": tensor for name in ("model", "model_ema") for key, tensor in tensors.items()}
    with pytest.raises(InvalidInput, match="unknown set of weights 'model_emma'; did you mean 'model_ema'"):
        choose_tensors(both, NETWORK.program, "model_emma")


def test_the_body_of_a_network_is_no_wrapper():
    body = {"features.0.weight": np.zeros((8, 3, 3, 3), np.float32), "features.1.weight": np.zeros(8, np.float32)}
    assert choose_tensors(body, NETWORK.program) == (body, "")


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.bin"])
def test_a_pickled_checkpoint_is_refused_with_the_way_to_convert_it(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x80\x02}.")
    with pytest.raises(InvalidInput) as error:
        read_weights(tmp_path / name)
    assert "weights must be a .safetensors file" in str(error.value)
    assert "weights_only=True" in str(error.value)
    assert str(error.value).endswith(f" {tmp_path / name} {tmp_path / 'weights.safetensors'}")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_a_broken_file_is_told(content, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(content)
    with pytest.raises(InvalidInput, match="readable safetensors file"):
        read_weights(tmp_path / "broken.safetensors")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InvalidInput, match="readable safetensors file"):
        read_weights(tmp_path / "none.safetensors")

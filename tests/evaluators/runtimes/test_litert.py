import json
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.networks.network import run
from evaluators.runtimes import RUNTIMES, Options
from evaluators.runtimes.flatbuffer import ALIGNMENT
from evaluators.runtimes.litert import EMITTERS, litert_model
from evaluators.runtimes.quantisation import quantised
from experiments.reference_logits import reference_arrays
from search_spaces import SPACES, Architecture
from search_spaces.layers import (
    ACTIVATIONS,
    GATES,
    IDENTITY,
    PADDINGS,
    Activation,
    Add,
    BatchNorm,
    Branches,
    Concatenate,
    Convolution,
    Dense,
    GlobalPool,
    Multiply,
    Pool,
    Scale,
    Sequence,
    Shuffle,
    Slice,
)
from search_spaces.program import trace
from search_spaces.zoo import ZOO, load_network

LITERT = RUNTIMES["litert"]
GATE = Sequence((GlobalPool(), Convolution(6, bias=True), Activation("hsigmoid")))
LAYERS = {
    **{name: Activation(name) for name in ACTIVATIONS + GATES},
    **{f"{name} of a convolution": Sequence((Convolution(8), BatchNorm(), Activation(name))) for name in ACTIVATIONS},
    "relu of a sum": Sequence((Branches(Add(), (IDENTITY, Convolution(6))), Activation("relu"))),
    "relu of a convolution that something else reads": Sequence((
        Convolution(6), Branches(Add(), (IDENTITY, Activation("relu"))))),
    "convolution": Convolution(8, (3, 3)),
    "convolution with bias": Convolution(8, (3, 3), bias=True),
    "rectangular convolution": Convolution(8, (1, 5)),
    "grouped convolution": Convolution(9, (3, 3), groups=3),
    "depthwise convolution": Convolution(6, (3, 3), groups=6),
    "depthwise convolution with two filters a channel": Convolution(12, (3, 3), groups=6),
    "batch norm": BatchNorm(epsilon=0.01),
    "batch norm of rows": Sequence((Dense(6), Activation("relu"), BatchNorm())),
    "pool": GlobalPool(),
    "largest of a window": Pool("max", 3, 2),
    "average of a window": Pool("average", 2, 2),
    "slice": Slice(1, 4),
    "two slices": Branches(Concatenate(), (Slice(0, 3), Sequence((Slice(3, 6), Convolution(3))))),
    "shuffle": Shuffle(2),
    "scale": Scale(0.25),
    "dense over pixels": Dense(7),
    "dense without bias": Dense(7, bias=False),
    "dense twice": Sequence((Dense(6), Activation("hswish"), Dense(4))),
    "sum of three": Branches(Add(), (IDENTITY, Convolution(6), Activation("swish"))),
    "product with a gate of one pixel": Branches(Multiply(), (IDENTITY, GATE)),
    "product with a gate of the same size": Branches(Multiply(), (IDENTITY, Convolution(6))),
    "product with a dense gate": Branches(Multiply(), (IDENTITY, Sequence((Dense(6), Activation("sigmoid"))))),
    "concatenation": Branches(Concatenate(), (IDENTITY, Convolution(2), Activation("relu"))),
    "rows read as pixels twice": Sequence((Dense(3), Branches(Concatenate(), (Convolution(2), Convolution(4))))),
    "pixels read as rows twice": Sequence((GlobalPool(), Branches(Add(), (Dense(4), Dense(4))))),
}
MOBILE_FAMILIES = ("mobilenet-v1", "mobilenet-v2", "mobilenet-v3", "mnasnet", "mobilenext", "efficientnet",
                   "shufflenet-v1", "shufflenet-v2")
RELATIVE = 1e-4  # of the largest logit


def _images(program, batch, seed=0):
    return 3 * np.random.default_rng(seed).standard_normal((batch, *program.input_shape), np.float32)


def _interpreter(program, arrays, batch=1, network=None, kernels=OpResolverType.AUTO):
    interpreter = Interpreter(model_content=litert_model(program, arrays, network=network),
                              experimental_op_resolver_type=kernels)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [batch, *program.input_shape])
    interpreter.allocate_tensors()
    return interpreter


def _run(program, arrays, images, **how):
    interpreter = _interpreter(program, arrays, len(images), **how)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _difference(program, arrays, batch=2):
    """Returns how far LiteRT is from Flax, relative to the largest logit."""
    images = _images(program, batch)
    expected = np.asarray(run(program, arrays, arrays, images, train=False)[0]).reshape(batch, -1)
    return np.abs(_run(program, arrays, images) - expected).max() / max(1, np.abs(expected).max())


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_litert_computes_every_layer_as_flax_does(layer, random_arrays):
    program = trace(layer, (5, 6, 6))
    assert _difference(program, random_arrays(program, 0)) < RELATIVE


@pytest.mark.parametrize("kernels", [OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_files_of_int8_compute_every_layer_on_its_grids(layer, kernels, random_arrays, assert_on_grids):
    program = trace(layer, (5, 6, 6))
    arrays, images = random_arrays(program, 0), _images(program, 4)
    network = quantised(program, arrays, images)
    found = _run(program, arrays, images, network=network, kernels=kernels)
    assert_on_grids(network, images, found.reshape(4, *program.output_shape))


def test_every_layer_that_can_be_written_is_checked():
    program_layers = {type(operation.layer) for layer in LAYERS.values()
                      for operation in trace(layer, (5, 6, 6)).operations}
    assert program_layers == set(EMITTERS)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_nothing_is_left_to_slow_kernels(layer, random_arrays):
    program = trace(layer, (5, 6, 6))
    interpreter = _interpreter(program, random_arrays(program, 0))
    delegated = [operator for operator in interpreter._get_ops_details() if operator["op_name"] == "DELEGATE"]
    assert len(delegated) == 1, "what lies between two parts that XNNPACK takes is not one of them"
    assert interpreter.get_input_details()[0]["index"] in delegated[0]["inputs"]
    assert interpreter.get_output_details()[0]["index"] in delegated[0]["outputs"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 5, 7]), st.sampled_from([1, 2]),
       st.sampled_from(PADDINGS), st.sampled_from([1, 2, 4]))
def test_convolutions_agree_at_every_size_stride_and_padding(random_arrays, assert_computes, height, width, kernel,
                                                             stride, padding, groups):
    if padding == "valid":
        height, width = max(height, kernel), max(width, kernel)
    program = trace(Convolution(4, (kernel, kernel), stride, groups, padding), (height, width, 4))
    arrays, images = random_arrays(program, 0), _images(program, 1)
    assert_computes(program, arrays, images, _run(program, arrays, images))


@pytest.mark.parametrize("seed", range(3))
def test_litert_computes_random_members_of_the_ready_space(seed, random_arrays, assert_computes):
    space = SPACES["mobile"].bind(28, 1, 10)
    program = space.decode(space.sample(np.random.default_rng(seed))).program
    arrays, images = random_arrays(program, seed), _images(program, 2)
    assert_computes(program, arrays, images, _run(program, arrays, images))


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10**6))
def test_files_of_int8_are_as_near_to_their_grids_as_these_are_to_the_network(random_arrays, numpy_forward,
                                                                             numpy_on_grids, seed):
    space = SPACES["documented"].bind(28, 1, 10)
    program = space.decode(space.sample(np.random.default_rng(seed))).program
    arrays, images = random_arrays(program, seed), _images(program, 4)
    network = quantised(program, arrays, images)
    exact, simulated = numpy_forward(program, arrays, images), numpy_on_grids(network, images)
    found = _run(program, arrays, images, network=network).reshape(exact.shape)
    # values that lie between two steps are rounded to either, and the next layers add to that
    step = network.grids[network.program.operations[-1].name].scale
    assert np.std(found - simulated) <= 1.5 * np.std(simulated - exact) + step
    assert np.std(found - exact) < 0.5 * np.std(exact)


def _settled(program, arrays, images):
    """Returns the arrays with the running statistics of some images, as a training leaves them.

    Otherwise values grow from layer to layer, and in deep networks the rounding of float32 with them.
    """
    after = run(program, arrays, arrays, images, train=True)[1]
    settled = dict(arrays)
    for operation in program.operations:
        for name in operation.statistics:
            keep = operation.layer.momentum
            settled[name] = np.asarray((after[name] - keep * arrays[name]) / (1 - keep))
    return settled


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, network in ZOO.items() if network.family in MOBILE_FAMILIES])
def test_files_of_published_mobile_networks_compute_what_flax_does(name):
    architecture = load_network(name, resolution=64)
    program = architecture.program
    images = np.random.default_rng(0).standard_normal((8, *program.input_shape), np.float32)
    arrays, images = _settled(program, reference_arrays(architecture), images), images[:2]
    expected = np.asarray(run(program, arrays, arrays, images, train=False)[0]).reshape(len(images), -1)
    difference = np.abs(_run(program, arrays, images) - expected).max()
    assert difference < RELATIVE * np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 100 * difference, "the images must matter for the logits"


@pytest.fixture(scope="module")
def written(tmp_path_factory, random_arrays):
    architecture = Architecture.parse(
        "in_r12_c1+conv_k3_c16_s2_relu6+mb_k3_e3_c16_s1_se0.25_hswish+head_c16_relu_n10_d8")
    arrays = random_arrays(architecture.program, 0)
    path = tmp_path_factory.mktemp("litert") / "model.tflite"
    LITERT.write(architecture, arrays, path, {"architecture": architecture.text, "accuracy": "0.9"})
    return architecture, arrays, path


def test_one_file_runs_any_number_of_images(written, assert_computes):
    architecture, arrays, path = written
    session = LITERT.load(path, Options())
    for batch in (1, 3, 2):
        images = _images(architecture.program, batch)
        assert_computes(architecture.program, arrays, images, session.run(images))


@pytest.mark.parametrize("channels", [1, 3])
def test_xnnpack_normalises_bytes_too(channels, random_arrays):
    program = trace(Convolution(8, (3, 3)), (6, 6, channels))
    texts = {"mean": json.dumps([0.3] * channels), "std": json.dumps([0.2] * channels)}
    interpreter = Interpreter(model_content=litert_model(program, random_arrays(program, 0), texts, inside=True))
    interpreter.allocate_tensors()
    delegated = [operator for operator in interpreter._get_ops_details() if operator["op_name"] == "DELEGATE"]
    assert [interpreter.get_input_details()[0]["index"] in operator["inputs"] for operator in delegated] == [True]


def test_runs_that_are_timed_leave_the_images_as_they_are(written):
    architecture, _, path = written
    images = _images(architecture.program, 1)
    session = LITERT.load(path, Options())
    expected = session.run(images)
    run_once = session.prepared(images)
    for _ in range(3):
        run_once()
    details = session.interpreter.get_output_details()[0]
    np.testing.assert_array_equal(session.interpreter.get_tensor(details["index"]), expected)


def test_a_file_has_its_metadata_the_names_of_operations_and_aligned_weights(written):
    architecture, _, path = written
    content = path.read_bytes()
    assert schema.Model.ModelBufferHasIdentifier(content, 0)
    model = schema.Model.GetRootAs(content, 0)
    texts = {model.Metadata(index).Name().decode():
             model.Buffers(model.Metadata(index).Buffer()).DataAsNumpy().tobytes().decode()
             for index in range(model.MetadataLength())}
    assert texts == {"architecture": architecture.text, "accuracy": "0.9"}
    assert json.loads(zipfile.ZipFile(path).read("texts.json")) == texts
    graph = model.Subgraphs(0)
    names = {graph.Tensors(index).Name().decode() for index in range(graph.TensorsLength())}
    # a batch norm becomes a part of the convolution before it
    convolutions = {operation.name for operation in architecture.program.operations
                    if isinstance(operation.layer, Convolution)}
    assert convolutions | {"image", "logits"} <= names
    offsets = [model.Buffers(index)._tab.Vector(model.Buffers(index)._tab.Offset(4))
               for index in range(model.BuffersLength()) if not model.Buffers(index).DataIsNone()]
    assert offsets
    assert all(offset % ALIGNMENT == 0 for offset in offsets)


def test_the_kinds_of_operators_are_noted_for_old_and_new_readers(random_arrays):
    program = trace(Activation("hswish"), (2, 2, 3))
    code = schema.Model.GetRootAs(litert_model(program, {}), 0).OperatorCodes(0)
    assert (code.DeprecatedBuiltinCode(), code.BuiltinCode()) == (117, 117)

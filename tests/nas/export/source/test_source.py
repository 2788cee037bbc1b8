"""Source files: they compute the network where nothing of ours can be imported, and read as written by hand."""

import importlib.util
import json
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from evaluators.networks.network import Network, logits_of
from evaluators.networks.weights import initial_arrays
from evaluators.runtimes import Options
from evaluators.runtimes.onnxruntime import OnnxRuntime
from nas.export.source import nnx, pytorch
from nas.export.source.file import run_source, weights_beside
from search_spaces import Architecture
from search_spaces.blocks import KIND_OF, Input
from search_spaces.blocks.conventions import conv_bn_act
from search_spaces.blocks.plain import Classifier
from search_spaces.layers import IDENTITY, Add, Branches, Concatenate, Scale, Sequence
from search_spaces.notation import number
from search_spaces.ready import SPACES
from search_spaces.zoo import load_network

CLASSES = ["it's", 'a "b"', "élan", "\n", *("x), [y\\" * count for count in range(1, 12))]
DATA = {"classes": json.dumps(CLASSES), "mean": "[0.1, 0.2, 0.3]", "std": "[0.5, 1, 2]",
        "preprocessing": "read as RGB, crop the middle square, resize to 96x96, then to 64x64 (bilinear, antialiased), "
                         "scale to [0, 1], subtract mean, divide by std"}
NETWORKS = {  # which have layers of all types between them
    "mobile": "in_r17_c3_symmetric+conv_k3_c8_s2_relu+mb_k5_e1_c8_s1_se0.25_relu6+mb_k3_e3_c8_s1_se0_hswish"
              "+mb_k3_e2_c12_s2_se0.25_swish_sein_sigmoid+sand_k3_r2_c12_s1_relu6_id0.5+shuffle2_c16_s2_relu"
              "+shuffle2_c16_s1_relu+head_c16_hswish_n5_d8",
    "joined": "in_r18_c3+conv_k3_c8_s2_relu_valid+pool_max_k3_s2_ceil_symmetric+pool_average_k3_s1_allpixels"
              "+dense_g4_n2_relu_c12_s1_b2+dense_g4_n3_relu_c12_s1_b2+inceptionresa_o4_m4_d4_relu+shuffle_c24_g2_s2_relu"
              "+xception_c24_s1_relu+conv_k5_c12_s1_relu_stacked+fc_n5",
    "plain": "in_r12_c3_symmetric+conv_k3_c8_s1_relu_bias+fire_q4_c8_relu_bypass+fire_q4_c12_relu_complexbypass"
             "+inceptionb_o4_r4_m4_c4_p4_relu_k5+basic2_c16_s2_relu+basic2_c16_s1_relu+norm_relu+convfc_relu_n5",
    "factored": "in_r12_c3+conv_k3_c24_s2_relu+sep_k3_c24_s1_relu_rank0.25+mb_k3_e3_c24_s1_se0_relu_rank0.3"
                "+head_c32_hswish_n5_d32_rank0.25",
}
SOURCES = {"flax": nnx, "torch": pytorch}
RUN = """
import importlib, json, sys
places, directory = json.loads(sys.argv[1])
sys.path += [*places, directory]
import numpy as np
images = np.load("images.npz")
for name in images.files:
    module = importlib.import_module(name)
    network = module.load()
    if hasattr(module, "logits"):
        logits = module.logits(network, images[name])
    else:
        logits = network(module.torch.from_numpy(images[name].transpose(0, 3, 1, 2).copy())).detach()
    computed = {"logits": np.asarray(logits)}
    if hasattr(module, "CLASSES"):
        taken = (images[name] * 50 + 128).clip(0, 255).astype(np.uint8)
        computed["bytes"] = np.asarray(module.predict(network, taken))
    np.savez(f"{name}.out.npz", classes=getattr(module, "CLASSES", []), **computed)
assert not {"search_spaces", "evaluators", "nas"} & {name.partition(".")[0] for name in sys.modules}
"""


@pytest.fixture(params=SOURCES)
def library(request):
    pytest.importorskip(request.param)
    return request.param


def arrays_of(architecture):
    """Random arrays, batch norms included."""
    generator = np.random.default_rng(0)
    return {name: array + generator.uniform(0, 0.3, array.shape).astype(np.float32) * (array.ndim == 1)
            for name, array in initial_arrays(architecture.program, 0).items()}


def images_of(architecture):
    return np.random.default_rng(1).standard_normal((3, *architecture.program.input_shape), np.float32)


def computed_alone(architectures, directory, metadata, library):
    """What the source files of networks compute in a process that has the libraries, and nothing of ours."""
    for name, architecture in architectures.items():
        SOURCES[library].write(architecture, arrays_of(architecture), directory / f"{name}.py", metadata)
    np.savez(directory / "images.npz", **{name: images_of(each) for name, each in architectures.items()})
    places = {str(Path(importlib.util.find_spec(name).origin).parents[1])
              for name in ("jax", "jaxlib", "numpy", "safetensors", library)}
    done = subprocess.run([sys.executable, "-I", "-S", "-c", RUN, json.dumps([sorted(places), str(directory)])],
                          check=False, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: dict(np.load(directory / f"{name}.out.npz")) for name in architectures}


def by_onnxruntime(architecture, directory):
    """What a network computes of images, by the runtime that is ready soonest."""
    OnnxRuntime().write(architecture, arrays_of(architecture), directory / "model.onnx", {})
    return OnnxRuntime().load(directory / "model.onnx", Options()).run


def assert_equal(found, expected):
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def source_of(text, tmp_path, library, metadata=None):
    architecture = Architecture.parse(text)
    SOURCES[library].write(architecture, arrays_of(architecture), tmp_path / "model.py", metadata or {})
    return (tmp_path / "model.py").read_text(encoding="utf-8")


def test_sources_compute_the_network_where_nothing_of_ours_is_installed(library, tmp_path):
    architectures = {name: Architecture.parse(text) for name, text in NETWORKS.items()}
    for name, found in computed_alone(architectures, tmp_path, DATA, library).items():
        images, run = images_of(architectures[name]), by_onnxruntime(architectures[name], tmp_path)
        assert_equal(found["logits"], run(images))
        assert found["classes"].tolist() == ["" if name == "\n" else name for name in CLASSES]
        taken = (images * 50 + 128).clip(0, 255).astype(np.uint8)
        odds = np.exp(run((taken / 255 - json.loads(DATA["mean"])) / json.loads(DATA["std"])))
        np.testing.assert_allclose(found["bytes"], odds / odds.sum(-1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_pytorch_takes_images_that_nobody_may_write_to_without_a_warning(tmp_path):
    torch = pytest.importorskip("torch")
    source_of("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3", tmp_path, "torch",
              DATA | {"mean": "[0.5]", "std": "[0.3]"})
    module, taken = run_source(tmp_path / "model.py"), np.zeros((2, 8, 8, 1), np.uint8)
    images = taken.astype(np.float32)
    taken.flags.writeable = images.flags.writeable = False
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            odds = module["predict"](module["load"](), taken)
            logits = pytorch.load(tmp_path / "model.py")(images)
    finally:
        torch.set_warn_always(False)
    assert (odds.shape, logits.shape) == ((2, 3), (2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_members_of_every_space_are_computed_alike(space, library, tmp_path):
    bound = SPACES[space].bind(64 if space == "mobile-224" else 32, 3, 10)
    architectures = {f"network{seed}": bound.decode(bound.sample(np.random.default_rng(seed))) for seed in range(3)}
    for name, found in computed_alone(architectures, tmp_path, {}, library).items():
        network = Network(architectures[name], arrays=arrays_of(architectures[name]))
        assert_equal(found["logits"], np.asarray(logits_of(network, images_of(architectures[name]))))


@pytest.mark.parametrize("library", SOURCES)
@pytest.mark.parametrize("metadata", [{}, DATA], ids=["without data", "with data"])
def test_sources_pass_the_linter(metadata, library, tmp_path):
    for name, text in NETWORKS.items():
        source_of(text, tmp_path, library, metadata)
        (tmp_path / "model.py").rename(tmp_path / f"{name}.py")
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", "--line-length=120",
                           "--select=B,C4,D1,E,F,I,N,NPY,PTH,Q,RUF,SIM,UP,W", "--ignore=D102,D107,N812", tmp_path],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("library", SOURCES)
def test_a_published_network_is_short(library, tmp_path):
    source = source_of(load_network("mobilenet_v3_small").text, tmp_path, library)
    assert len(source.splitlines()) < 160
    assert source.count("class ") == len(["ConvNormAct", "SqueezeExcite", "InvertedBottleneck", "Hidden", "Head",
                                          "Network"])
    called = {"flax": "activation=nnx.relu, kernel=(3, 3), rngs=rngs", "torch": "activation=F.relu, kernel=(3, 3)"}
    assert f"InvertedBottleneck(24, 88, 24, {called[library]})," in source


@dataclass(frozen=True)
class Careless:
    r"""A \block whose layers have "names" that no attribute could have, and some of them the "same"."""

    channels: int = number("c", "channels of each")

    def layers(self, channels, conventions):
        def conv(name):
            return conv_bn_act(name, conventions, self.channels, 1, activation="relu")

        halved = Sequence((Scale(0.5), conv("pass")))
        both = Branches(Concatenate(), (conv("1x1"), conv("1x1"), conv("train"), conv("double"), halved))
        skip = Branches(Add(), (IDENTITY, conv("a_b"))) if self.channels > 2 else IDENTITY
        return Sequence((conv("a-b"), skip, both))


def test_a_block_may_name_its_layers_as_it_likes(library, tmp_path, monkeypatch):
    monkeypatch.setitem(KIND_OF, Careless, "careless")
    architecture = Architecture(Input(4, 3), (Careless(2), Careless(8), Classifier(3)))
    SOURCES[library].write(architecture, arrays_of(architecture), tmp_path / "model.py", {})
    images = images_of(architecture)
    assert_equal(SOURCES[library].load(tmp_path / "model.py")(images), by_onnxruntime(architecture, tmp_path)(images))


def test_nothing_but_the_weights_lies_beside_a_source_that_was_loaded(library, tmp_path):
    source_of(NETWORKS["plain"], tmp_path, library)
    SOURCES[library].load(tmp_path / "model.py")
    assert {path.name for path in tmp_path.iterdir()} == {"model.py", "model_weights.safetensors"}
    assert weights_beside(tmp_path / "model.py") == tmp_path / "model_weights.safetensors"

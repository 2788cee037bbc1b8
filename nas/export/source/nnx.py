"""The words of Flax NNX."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas.export.source.classes import Outline
from nas.export.source.file import constants, heading, images_taken, run_source, write_source
from nas.export.source.writing import Dialect, Form, Values, blocks_source, classes_source, code_of
from search_spaces import layers
from search_spaces.program import Operation

FUNCTIONS = {"relu": "nnx.relu", "relu6": "nnx.relu6", "hswish": "nnx.hard_swish", "swish": "nnx.swish",
             "sigmoid": "nnx.sigmoid", "hsigmoid": "nnx.hard_sigmoid"}
RESERVED = ("train", "eval", "sow", "perturb")  # attributes of a `nnx.Module`
PADDINGS = {"same": '"SAME"', "valid": '"VALID"'}


def literal(attribute: str, value: Any) -> str:
    """Returns the code of a value."""
    if attribute == "activation" and value is not None:
        return FUNCTIONS[value]
    if attribute == "padding" and value in PADDINGS:
        return PADDINGS[value]
    return code_of(value)


def _called(values: Values, layer: str, x: str) -> str:
    return f"{layer}({x})"


def _convolution(values: Values) -> str:
    padding = ""
    if values.constants.get("padding") == "symmetric":
        kernel = values.constants.get("kernel")
        pads = f"[size // 2 for size in {values['kernel']}]" if kernel is None else repr(
            tuple(size // 2 for size in kernel))
        padding = "" if kernel == (1, 1) else f", padding={pads}"
    elif values.constants.get("kernel") != (1, 1):
        padding = values.named(padding='padding:"SAME"')
    return (f"nnx.Conv({values['inputs']}, {values['filters']}, {values['kernel']}"
            f"{values.named(strides='stride:1')}{padding}"
            f"{values.named(feature_group_count='groups:1', use_bias='bias:True')}, rngs=rngs)")


def _batch_norm(values: Values) -> str:
    named = values.named(momentum="momentum:0.99", epsilon="epsilon:1e-05")
    return f"nnx.BatchNorm({values['features']}{named}, rngs=rngs)"


def _pool(values: Values, layer: str, x: str) -> str:
    kernel, stride, average = values["kernel"], values["stride"], values.constants["function"] == "average"
    named = values.named(padding='padding:"VALID"') + (
        values.named(count_include_pad="count_padding:True") if average else "")
    return f"nnx.{'avg' if average else 'max'}_pool({x}, ({kernel}, {kernel}), ({stride}, {stride}){named})"


FLAX = Dialect(
    module="nnx.Module", row="nnx.List", call="__call__", begin="", passed="rngs", literal=literal,
    concatenate="jnp.concatenate([{}], axis=-1)",
    forms={
        layers.Convolution: Form(_called, _convolution),
        layers.BatchNorm: Form(_called, _batch_norm),
        layers.Dense: Form(
            lambda values, layer, x: f"{layer}({x})" if values.constants.get("flat")
            else f"{layer}({x}.reshape(len({x}), 1, 1, -1))",
            lambda values: f"nnx.Linear({values['inputs']}, {values['features']}"
                           f"{values.named(use_bias='bias:True')}, rngs=rngs)"),
        layers.Activation: Form(lambda values, layer, x: f"{values['activation']}({x})"),
        layers.Pool: Form(_pool),
        layers.GlobalPool: Form(lambda values, layer, x: f"{x}.mean((1, 2), keepdims=True)"),
        layers.Slice: Form(lambda values, layer, x: f"{x}[..., {values['begin']}:{values['end']}]"),
        layers.Shuffle: Form(lambda values, layer, x: f"shuffle({x}, {values['groups']})"),
        layers.Scale: Form(lambda values, layer, x: f"{x} * {values['factor']}"),
    })


SHUFFLE = '''def shuffle(x, groups):
    """Returns channels interleaved: the first of every group, then the second of every group, and so on."""
    return x.reshape(*x.shape[:3], groups, -1).swapaxes(3, 4).reshape(x.shape)


'''


def source(outline: Outline, path: Path, metadata: Mapping[str, str]) -> str:
    """Returns the source of a network."""
    side, channels = outline.architecture.input.resolution, outline.architecture.input.channels
    classes, shape = classes_source(outline, FLAX), f"[batch, {side}, {side}, {channels}]"
    imports = "import jax.numpy as jnp\n" if "jnp." in classes else ""
    taken, normalised = f"normalised images `{shape}`, float32", "images"
    if "mean" in metadata:
        imports += "import numpy as np\n"
        taken = images_taken(shape, metadata)
        normalised = "(np.asarray(images, np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)"
    return f'''{heading(outline, path, "Flax")}

from pathlib import Path

{imports}from flax import nnx
from safetensors.numpy import load_file

{constants(outline, path, metadata)}


{SHUFFLE if "shuffle(" in classes else ""}{classes}


class Network(nnx.Module):
    """The network: normalised images `{shape}` -> logits `[batch, {outline.architecture.classes}]`."""

    def __init__(self, *, rngs):
        self.blocks = nnx.List([
{blocks_source(outline, FLAX, 12)}
        ])

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return x.reshape(len(x), -1)


def load(weights=WEIGHTS):
    """Returns the network with its trained weights, ready to evaluate."""
    network = nnx.eval_shape(lambda: Network(rngs=nnx.Rngs(0)))
    arrays, state = load_file(weights), nnx.to_flat_state(nnx.state(network))
    loaded = [(path, variable.replace(arrays[".".join(map(str, path))])) for path, variable in state]
    nnx.update(network, nnx.from_flat_state(loaded))
    network.eval()
    return network


@nnx.jit
def logits(network, images):
    """Returns logits `[batch, {outline.architecture.classes}]` of normalised images, compiled."""
    return network(images)


def predict(network, images):
    """Returns probabilities `[batch, {outline.architecture.classes}]` of {taken}."""
    return nnx.softmax(logits(network, {normalised}))
'''


def _translate(operation: Operation, key: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Returns an array as it is: Flax's names and forms are ours."""
    return key, array


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function of a source file, from normalised images `[B, H, W, C]` to logits."""
    names = run_source(path)
    network = names["load"]()
    return lambda images: np.asarray(names["logits"](network, images))


write = functools.partial(write_source, source, _translate, RESERVED)

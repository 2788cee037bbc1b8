"""Source files in PyTorch: channels come first, and what it cannot pad by itself a function of the file pads."""

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

FUNCTIONS = {"relu": "F.relu", "relu6": "F.relu6", "hswish": "F.hardswish", "swish": "F.silu",
             "sigmoid": "F.sigmoid", "hsigmoid": "F.hardsigmoid"}
KEYS = {"scale": "weight", "kernel": "weight", "mean": "running_mean", "var": "running_var"}
RESERVED = ("apply", "bfloat16", "buffers", "children", "compile", "cpu", "cuda", "double", "eval", "float", "forward",
            "half", "modules", "parameters", "to", "train", "training", "type", "xpu")  # attributes of a `nn.Module`


def literal(attribute: str, value: Any) -> str:
    """Returns the code of a value."""
    if attribute == "activation" and value is not None:
        return FUNCTIONS[value]
    if attribute == "momentum":
        return repr(round(1 - value, 9))  # of the new statistics, not of the old ones
    return code_of(value)


def _convolution(values: Values) -> str:
    kernel, padding, name = values.constants.get("kernel"), values.constants.get("padding"), "nn.Conv2d"
    if kernel == (1, 1):
        pads = ""
    elif padding == "symmetric":
        pads = f", padding={[size // 2 for size in kernel]}" if kernel else (
            f", padding=[size // 2 for size in {values['kernel']}]")
    elif padding == "valid" or (padding == "same" and values.constants.get("stride") == 1):
        pads = values.named(padding='padding:"valid"')
    else:
        name, pads = "PaddedConv2d", f", padding={values['padding']}"
    named = values.named(stride="stride:1") + pads + values.named(groups="groups:1", bias="bias:True")
    return f"{name}({values['inputs']}, {values['filters']}, {values['kernel']}{named})"


def _pool(values: Values, layer: str, x: str) -> str:
    average, padding = values.constants["function"] == "average", values.constants.get("padding")
    arguments = f"{x}, {values['kernel']}, {values['stride']}"
    if padding == "valid":
        return f"F.{'avg' if average else 'max'}_pool2d({arguments})"
    counted = values.named(count_padding="count_padding:False") if average else ""
    return f"{'average' if average else 'max'}_pool({arguments}, {values['padding']}{counted})"


TORCH = Dialect(
    module="nn.Module", row="nn.ModuleList", call="forward", begin="super().__init__()", passed="", literal=literal,
    concatenate="torch.cat([{}], dim=1)",
    forms={
        layers.Convolution: Form(lambda values, layer, x: f"{layer}({x})", _convolution),
        layers.BatchNorm: Form(
            lambda values, layer, x: f"{layer}({x})",
            lambda values: f"nn.BatchNorm2d({values['features']}"
                           f"{values.named(eps='epsilon:1e-05', momentum='momentum:0.1')})"),
        layers.Dense: Form(
            lambda values, layer, x: f"{layer}({x}{'' if values.constants.get('flat') else '.permute(0, 2, 3, 1)'}"
                                     ".flatten(1))[..., None, None]",
            lambda values: f"nn.Linear({values['inputs']}, {values['features']}{values.named(bias='bias:True')})"),
        layers.Activation: Form(lambda values, layer, x: f"{values['activation']}({x})"),
        layers.Pool: Form(_pool),
        layers.GlobalPool: Form(lambda values, layer, x: f"{x}.mean((2, 3), keepdim=True)"),
        layers.Slice: Form(lambda values, layer, x: f"{x}[:, {values['begin']}:{values['end']}]"),
        layers.Shuffle: Form(lambda values, layer, x: f"F.channel_shuffle({x}, {values['groups']})"),
        layers.Scale: Form(lambda values, layer, x: f"{x} * {values['factor']}"),
    })

PADDED = '''def padded(x, kernel, stride, padding, value=0.0):
    """Returns images padded for windows: by `padding`, rows first, or by "same" as little as all pixels need."""
    if padding == "valid":
        return x
    if padding == "same":
        over = [max((-(-size // stride) - 1) * stride + extent - size, 0)
                for size, extent in zip(x.shape[2:], kernel, strict=True)]
        padding = [(total // 2, total - total // 2) for total in over]
    return F.pad(x, (*padding[1], *padding[0]), value=value)


'''
HELPERS = {
    "PaddedConv2d(": '''class PaddedConv2d(nn.Conv2d):
    """A convolution that pads as `padded` does."""

    def __init__(self, *arguments, padding, **named):
        super().__init__(*arguments, **named)
        self.pads = padding

    def forward(self, x):
        return super().forward(padded(x, self.kernel_size, self.stride[0], self.pads))


''',
    "max_pool(": '''def max_pool(x, kernel, stride, padding):
    """Returns the largest values of windows."""
    return F.max_pool2d(padded(x, (kernel, kernel), stride, padding, -torch.inf), kernel, stride)


''',
    "average_pool(": '''def average_pool(x, kernel, stride, padding, count_padding=False):
    """Returns the averages of windows, over real pixels or over all."""
    total, ones = (F.avg_pool2d(padded(each, (kernel, kernel), stride, padding), kernel, stride)
                   for each in (x, torch.ones_like(x[:1, :1])))
    return total if count_padding else total / ones


''',
}


def source(outline: Outline, path: Path, metadata: Mapping[str, str]) -> str:
    """Returns the source of a network."""
    side, channels = outline.architecture.input.resolution, outline.architecture.input.channels
    shape, count = f"[batch, {channels}, {side}, {side}]", outline.architecture.classes
    classes = classes_source(outline, TORCH)
    helpers = "".join(text for name, text in HELPERS.items() if name in classes)
    functions = "from torch.nn import functional as F\n" if "F." in helpers + classes else ""
    taken, normalised = f"normalised images `{shape}`, float32", "images"
    if "mean" in metadata:
        taken = images_taken(f"[batch, {side}, {side}, {channels}]", metadata)
        normalised = "(images / 255 - torch.tensor(MEAN)) / torch.tensor(STD)"
    prepared = f"({normalised}).permute(0, 3, 1, 2)" if "mean" in metadata else normalised
    return f'''{heading(outline, path, "PyTorch")}

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
{functions}
{constants(outline, path, metadata)}


{PADDED + helpers if helpers else ""}{classes}


class Network(nn.Module):
    """The network: normalised images `{shape}` -> logits `[batch, {count}]`."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(
{blocks_source(outline, TORCH, 12)}
        )

    def forward(self, x):
        return self.blocks(x).flatten(1)


def load(weights=WEIGHTS):
    """Returns the network with its trained weights, ready to evaluate."""
    network = Network()
    network.load_state_dict(load_file(weights))
    return network.eval()


@torch.no_grad()
def predict(network, images):
    """Returns probabilities `[batch, {count}]` of {taken}."""
    images = torch.asarray(images, copy=True)  # arrays of pictures are often read-only
    return network({prepared}).softmax(1)
'''


def _translate(operation: Operation, key: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Returns the name and the form that PyTorch has for an array."""
    if key == "kernel":
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    return KEYS.get(key, key), array


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function of a source file, from normalised images `[B, H, W, C]` to logits."""
    import torch

    network = run_source(path)["load"]()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), np.float32, order="C"))).numpy()

    return run


write = functools.partial(write_source, source, _translate, RESERVED)

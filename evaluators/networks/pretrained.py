"""Pretrained weights: a PyTorch state dict as a safetensors file -> our arrays by name.

A file of torchvision, timm or pytorchcv names its tensors by modules; safetensors keeps no order. The modules are put
in execution order by their names, with the few rules below for names whose order is not that of execution, and are
then matched with the layers of our program, each kind (kernels, batch norms) by itself, shape by shape.
"""

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators.machine.archives import DAMAGED, read_arrays
from evaluators.networks.weights import Weights, read_tensors
from search_spaces.architecture import Architecture
from search_spaces.documents import refused
from search_spaces.errors import InvalidInput, unknown
from search_spaces.layers import BatchNorm, Convolution, Dense
from search_spaces.program import Operation, Program

CONVERSION = ("python -c \"import sys, torch, safetensors.torch as s; s.save_file(torch.load(sys.argv[1], "
              "map_location='cpu', weights_only=True), sys.argv[2])\" {} {}")
UNUSED = re.compile(r"(^|\.)num_batches_tracked$|^(aux\d?|AuxLogits|aux_logits)\.")
BODY = "features"  # of a network without its classifier, whose tensors share it though it wraps nothing

# Rewritings of module names after which their natural order is that of execution; `!` sorts first and `~` last.
_ENDS = (
    (r"^(classif\w*|fc|output|last_linear|head)\b", r"~~\1"),
    (r"^features\.(init_block|conv0|norm0)\b", r"!\1"),
    (r"^(conv_stem|stem|bn1)\b", r"!\1"),
    (r"^features\.(final_block|final_conv|post_activ|norm5)\b", r"~\1"),
    (r"^(conv_head|bn2|norm|conv5)\b", r"~\1"),
)
_INSIDE = (
    (r"\bconv_(exp|pw)$", "1"),  # timm's inverted residual; a separable convolution's last part is renamed before
    (r"\bconv_dw$", "2"),
    (r"\bse\.conv_reduce$", "3.1"),
    (r"\bse\.conv_expand$", "3.2"),
    (r"\bconv_pwl$", "4"),
    (r"\bexp_conv\b", "1"),  # pytorchcv's
    (r"\bdw_conv\b", "2"),
    (r"(unit\d+)\.se\b", r"\1.3"),
    (r"\bpw_conv\b", "4"),
    (r"\bsqueeze\b", "!squeeze"),
    (r"\.denseblock(\d+)\b", r".\1.0"),
    (r"\.transition(\d+)\b", r".\1.1"),
)
_OF_FAMILY = {
    "inception": (
        (r"^(Mixed_5\w)\.branch3x3dbl", r"\1.branch6"),
        (r"^repeat\.", "mixed_5c."),
        (r"^repeat_1\.", "mixed_6b."),
        (r"^repeat_2\.", "mixed_7b."),
        (r"^block8\.", "mixed_7c."),
        (r"^conv2d_7b\.", "~conv2d_7b."),
        (r"\bconv_list\b", "!conv_list"),
        (r"(unit\d+)\.conv\b", r"\1.~conv"),
        (r"(init_block)\.block", r"\1.~block"),
    ),
    "efficientnet": (
        (r"(unit\d+)\.conv1\b", r"\1.1"),
        (r"(unit\d+)\.conv2\b", r"\1.2"),
        (r"(unit\d+)\.conv3\b", r"\1.4"),
    ),
    "mobilenet-v3": ((r"(unit\d+)\.conv1\b", r"\1.2"), (r"(unit\d+)\.conv2\b", r"\1.4")),
    "shufflenet-v2": (  # pytorchcv's units name the shortcut last
        (r"(unit\d+)\.\w+_(?:conv|bn)([45])$", r"\1.0.\2"),
        (r"(unit\d+)\.\w+_(?:conv|bn)([123])$", r"\1.1.\2"),
        (r"(unit\d+)\.shortcut_dconv\b", r"\1.0.1"),
        (r"(unit\d+)\.shortcut_conv\b", r"\1.0.2"),
        (r"(unit\d+)\.conv1\b", r"\1.1.1"),
        (r"(unit\d+)\.dconv\b", r"\1.1.2"),
        (r"(unit\d+)\.conv2\b", r"\1.1.3"),
    ),
    "xception": ((r"^(conv1|conv2|bn1|bn2)\b", r"!\1"), (r"^(conv3|conv4|bn3|bn4)\b", r"~\1")),
}

_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
_KERNEL = {"kernel": "weight", "bias": "bias"}


@dataclass(frozen=True)
class _Module:
    name: str
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def is_norm(self) -> bool:
        return "running_mean" in self.shapes or len(self.shapes.get("weight", ())) == 1


def read_weights(path: Path) -> Weights:
    """Returns the tensors of a safetensors file by name, as `read_tensors` does.

    Raises:
        InvalidInput: another kind of file (with the command that converts a PyTorch checkpoint), or as `read_tensors`.
    """
    if path.suffix != ".safetensors":
        converted = path.parent / f"{path.stem or 'weights'}.safetensors"
        raise InvalidInput(
            f"weights must be a .safetensors file, since other checkpoints can run code, but got '{path}'",
            f"; convert one that you trust: {CONVERSION.format(*map(shlex.quote, map(str, (path, converted))))}")
    return read_tensors(path)[1]


def choose_tensors(tensors: Weights, program: Program, weights_of: str = "") -> tuple[Weights, str]:
    """Returns the tensors of one network by their names in it, and the prefix that these have in the file.

    Trainers wrap networks: all names then share a prefix (`module.`, `_orig_mod.`, `model.`), or there are several
    sets of weights side by side (`model.`, `model_ema.`), of which `weights_of` names one.

    Raises:
        InvalidInput: no tensor of that name, or several sets of which none was chosen; lists them.
    """
    prefix = f"{weights_of}." if weights_of else ""
    chosen = _below(tensors, prefix)
    if not chosen:
        raise unknown("set of weights", weights_of, {name.partition(".")[0] for name in tensors if "." in name})
    while True:
        sets = Counter(name.partition(".")[0] for name in chosen if "." in name)
        (first, count), *_ = sets.most_common(1) or [(BODY, 0)]
        if first == BODY or count < len(chosen):
            break
        prefix, chosen = f"{prefix}{first}.", _below(chosen, f"{first}.")
    needed = sum(len(operation.weights) + len(operation.statistics) for operation in program.operations)
    whole = sorted(f"{prefix}{name}" for name, count in sets.items() if count >= needed)
    if len(whole) > 1:
        raise InvalidInput(f"weights must be those of one network, but there are {len(whole)} sets, "
                           f"{', '.join(whole)}; --weights-of {whole[0]} takes the first")
    return chosen, prefix


def _below(tensors: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def import_weights(architecture: Architecture, tensors: Weights, family: str = "") -> Weights:
    """Returns the arrays of an architecture, weights and running statistics, out of a PyTorch state dict.

    `family` is that of the zoo's entry; it picks rules for names that mean different things in different families.
    Tensors of auxiliary classifiers, which only training uses, are left out.

    Raises:
        InvalidInput: a layer has no tensor of its shape, or a tensor no layer; names both, with both shapes.
    """
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    found = match_tensors(architecture.program, shapes, family)
    arrays = {}
    for name, (shape, tensor_name) in found.items():
        arrays[name] = np.ascontiguousarray(_to_ours(tensors[tensor_name], len(shape)).reshape(shape))
    return arrays


def match_tensors(program: Program, shapes: Mapping[str, tuple[int, ...]], family: str = ""
                  ) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns the shape of every array of a program, and the tensor of a state dict that fills it, by its name.

    Raises:
        InvalidInput: a layer has no tensor of its shape, or a tensor no layer; names both, with both shapes.
    """
    modules = _in_execution_order(shapes, family)
    matched: dict[str, tuple[tuple[int, ...], str]] = {}
    for is_norm in (False, True):
        layers = (BatchNorm,) if is_norm else (Convolution, Dense)
        operations = [operation for operation in program.operations if isinstance(operation.layer, layers)]
        own = [module for module in modules if module.is_norm == is_norm]
        differ = len(own) != len(operations)
        remark = f" (it has {len(own)} such layers, the network {len(operations)})" if differ else ""
        for index in range(max(len(operations), len(own))):
            operation = operations[index] if index < len(operations) else None
            module = own[index] if index < len(own) else None
            if operation and module and not (is_norm or differ) and index == len(operations) - 1:
                remark = _other_classes(operation, module)
            matched |= _match(operation, module, remark)
    return matched


def output_difference(architecture: Architecture, arrays: Weights, images: np.ndarray, outputs: np.ndarray) -> float:
    """Returns the largest difference from reference logits `[B, classes]`, relative to the largest of them.

    `images` are what the reference was given, `[B, H, W, C]`, normalised.
    """
    from evaluators.networks.network import forward  # reading weights needs no jax

    expected = (architecture.program.input_shape, architecture.classes)
    if (images.shape[1:], outputs.shape[1]) != expected:
        raise InvalidInput(f"a reference must have images of {expected[0]} and {expected[1]} logits each, but got "
                           f"{images.shape[1:]} and {outputs.shape[1]}")
    logits = np.asarray(forward(architecture.program, arrays, images))
    return float(np.abs(logits - outputs).max() / np.abs(outputs).max())


def _in_execution_order(shapes: Mapping[str, tuple[int, ...]], family: str) -> list[_Module]:
    grouped: dict[str, dict[str, tuple[int, ...]]] = {}
    for tensor, shape in shapes.items():
        if not UNUSED.search(tensor):
            name, _, leaf = tensor.rpartition(".")
            grouped.setdefault(name, {})[leaf] = tuple(shape)
    rules = (*_OF_FAMILY.get(family, ()), *_ENDS, *_INSIDE)

    def order(name: str) -> tuple[tuple[int, int, str], ...]:
        if name.endswith(".conv_pw") and f"{name}l" not in grouped:
            name += "l"
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        parts = re.findall(r"\d+|[^\d.]+|\.", name)
        return tuple((1, int(part), "") if part.isdigit() else (0 if part == "." else 2, 0, part) for part in parts)

    return [_Module(name, grouped[name]) for name in sorted(grouped, key=order)]


def _other_classes(operation: Operation, module: _Module) -> str:
    """Returns the advice on a classifier that differs from the network's in the number of its classes only."""
    ours = _theirs(next(iter(operation.weights.values())))
    given = module.shapes.get("weight", ())
    if given[:1] == ours[:1] or [size for size in given[1:] if size > 1] != [size for size in ours[1:] if size > 1]:
        return ""
    return f"; --classes {given[0]} gives the network as many"


def _match(operation: Operation | None, module: _Module | None, remark: str
           ) -> dict[str, tuple[tuple[int, ...], str]]:
    if operation is None:
        assert module is not None
        raise InvalidInput(f"every tensor of the file must belong to a layer, but '{module.name}' of "
                           f"{_text(module.shapes.get('weight', ()))} is one too many{remark}")
    arrays = operation.arrays
    leaves = _NORM if isinstance(operation.layer, BatchNorm) else _KERNEL
    matched = {}
    for name, shape in arrays.items():
        leaf = leaves[name.rpartition("/")[2]]
        given = module.shapes.get(leaf) if module else None
        if module is None or given is None or _converted(given, shape) != shape:
            theirs = ("has no tensor for it" if module is None else
                      f"has no '{module.name}.{leaf}'" if given is None else
                      f"has '{module.name}.{leaf}' of {_text(given)} in its place")
            raise InvalidInput(f"the layer '{name}' needs {_text(_theirs(shape))}, but the file {theirs}{remark}")
        matched[name] = (shape, f"{module.name}.{leaf}")
    extra = sorted(set(module.shapes) - {leaves[name.rpartition('/')[2]] for name in arrays}) if module else []
    if module and extra:
        raise InvalidInput(f"every tensor of the file must belong to a layer, but '{operation.name}' has no place for "
                           f"'{module.name}.{extra[0]}' of {_text(module.shapes[extra[0]])}")
    return matched


def _to_ours(tensor: np.ndarray, rank: int) -> np.ndarray:
    """Returns a tensor in our layout: `[out, in, height, width]` becomes `[height, width, in, out]`."""
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T if tensor.ndim == 2 else tensor


def _converted(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Returns a shape in our layout; 1x1 convolutions and dense layers may stand for each other."""
    ours = (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape[::-1]
    if len(ours) == 4 and len(wanted) == 2 and ours[:2] == (1, 1):
        return ours[2:]
    return (1, 1, *ours) if len(ours) == 2 and len(wanted) == 4 else ours


def _theirs(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "no shape"


def read_reference(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns normalised images `[B, H, W, C]` and the logits `[B, classes]` that a reference gave for them.

    Raises:
        InvalidInput: no readable npz file with the arrays `images` and `logits` of as many rows.
    """
    with refused(f"a reference must be an npz file with `images` and `logits`, but got '{path}'", *DAMAGED):
        arrays = read_arrays(path, ("images", "logits"))
        images, logits = (arrays[name].astype(np.float32) for name in ("images", "logits"))
    if images.ndim != 4 or logits.ndim != 2 or len(images) != len(logits) or not len(images):
        raise InvalidInput(f"a reference has images [B, H, W, C] and logits [B, classes], but '{path}' has "
                           f"{images.shape} and {logits.shape}")
    if not np.isfinite(logits).all() or not np.abs(logits).max():
        raise InvalidInput(f"a reference must have finite logits that are not all zero, but '{path}' has not")
    return images, logits

"""Do our networks compute what the networks of torchvision, timm and pytorchcv compute that they stand for?

    python experiments/reference_logits.py                    # all of search_spaces/zoo/sources.py, about an hour
    python experiments/reference_logits.py timm:resnet50      # some of them

Builds each network there, without its published weights, fills it with deterministic arrays of ours, and compares its
logits for two images, in float64, with those of Flax and of the files for ONNX Runtime and LiteRT, in float32. The bar:
at most 1e-4 of the largest logit. Images are small, since what is compared are rules, not speed.

`results/reference_logits.json` keeps logits, differences and the order in which tensors were matched, and
`results/reference_tensors.json.xz` the names and shapes of all tensors, so that tests need no torch. Then
`python -m experiments.benchmarks.table` writes the table of docs/sources.md.

Needs torch 2.13, torchvision 0.29, timm 1.0.31 and pytorchcv 0.0.74; torchvision's compiled operators are not used.
"""

import argparse
import hashlib
import importlib
import importlib.metadata
import json
import lzma
import math
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.networks.pretrained import match_tensors
from evaluators.networks.weights import Weights, initial_arrays
from evaluators.runtimes import RUNTIMES, Options
from nas.run.environment import environment
from search_spaces.architecture import Architecture
from search_spaces.zoo import SOURCES, ZOO, load_network, zoo_name

RESULTS = Path(__file__).parent / "results"
LOGITS, TENSORS = RESULTS / "reference_logits.json", RESULTS / "reference_tensors.json.xz"
CLASSES = 16
RESOLUTION, LARGER = 64, 96
NEED_LARGER = ("inception_v3", "inception_v4", "inception_resnet", "xception")
RUN_BY = ("flax", "onnxruntime", "litert")
LARGEST_DIFFERENCE = 1e-4  # relative to the largest logit
APART = 100 * LARGEST_DIFFERENCE  # least difference of the logits of the two images: they must matter
SMALL, STABLE = 1e-6, 30  # relative change of the images, and by how much it may grow on the way to the logits
GAINS = (1.0, 0.9, 0.8, 0.7, 0.6)  # of the kernels, tried until logits are apart and stable
UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
VERSIONED = ("torch", "torchvision", "timm", "pytorchcv")


def reference_network(name: str) -> Architecture:
    """Returns a network of the zoo or of a source as it is compared: at a small resolution, with few classes."""
    small = LARGER if zoo_name(name).startswith(NEED_LARGER) else RESOLUTION
    return load_network(name, resolution=small, classes=CLASSES)


def reference_images(resolution: int) -> np.ndarray:
    """Returns two normal random images `[2, H, W, 3]`, float32."""
    return np.random.default_rng(resolution).standard_normal((2, resolution, resolution, 3), np.float32)


def reference_arrays(architecture: Architecture, gain: float = 1.0) -> Weights:
    """Returns deterministic arrays by name in which no bias, scale or running statistic has its neutral value.

    The gain multiplies all kernels. It must keep the images apart in the logits without letting values explode.
    """
    generator = np.random.default_rng(1)
    arrays = {}
    for name, array in initial_arrays(architecture.program, seed=0).items():
        if array.ndim > 1:
            arrays[name] = array * np.float32(gain)
        elif name.endswith(("/scale", "/var")):
            arrays[name] = generator.uniform(0.5, 1.5, array.shape).astype(np.float32)
        else:
            arrays[name] = generator.normal(0, 0.1, array.shape).astype(np.float32)
    return arrays


def _sand_glass(channels_in: int, channels: int, reduction: int, stride: int) -> Any:
    """Returns MobileNeXt's block as its paper draws it (Zhou et al. 2020, figure 3b and table 1), in PyTorch."""
    from torch import nn

    narrow = channels_in // reduction
    if narrow < channels / 6:
        narrow = max(16, int(math.ceil(channels / 6) + 8) // 16 * 16)
    keeps = channels_in == channels
    layers: list[Any] = []
    if keeps or reduction == 2:
        layers += [nn.Conv2d(channels_in, channels_in, 3, 1, 1, groups=channels_in, bias=False),
                   nn.BatchNorm2d(channels_in), nn.ReLU6()]
    layers += [nn.Conv2d(channels_in, narrow, 1, bias=False), nn.BatchNorm2d(narrow),
               nn.Conv2d(narrow, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU6()]
    if keeps or reduction == 2 or stride == 2:
        layers += [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels)]

    class SandGlass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, x: Any) -> Any:
            return x + self.layers(x) if keeps and stride == 1 else self.layers(x)

    return SandGlass()


def _mobilenext() -> Any:
    """Returns MobileNeXt at half width: the channels are those of table 2, halved and rounded to multiples of 8."""
    from torch import nn

    layers: list[Any] = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()]
    channels_in = 16
    for reduction, channels, depth, stride in ((2, 48, 1, 2), (6, 72, 1, 1), (6, 96, 3, 2), (6, 144, 3, 2),
                                               (6, 192, 4, 1), (6, 288, 4, 2), (6, 480, 3, 1), (6, 1280, 1, 1)):
        for layer in range(depth):
            layers.append(_sand_glass(channels_in, channels, reduction, 1 if layer else stride))
            channels_in = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, CLASSES))


def order_of(tensors: list[str]) -> str:
    """Returns the first 12 digits of the hash of the tensors' names, in the order of our arrays."""
    return hashlib.sha256("\n".join(tensors).encode()).hexdigest()[:12]


TRANSCRIBED: dict[str, Callable[[], Any]] = {"mobilenext_0.5": _mobilenext}  # no library has it


def build_reference(name: str) -> Any:
    """Returns the reference network in evaluation mode, float64, with arbitrary weights."""
    import torch
    from torch import nn

    _operators()
    library, _, function = name.partition(":")
    with torch.device("meta"):
        if name in TRANSCRIBED:
            network = TRANSCRIBED[name]()
        elif library == "timm":
            network = importlib.import_module("timm").create_model(function, num_classes=CLASSES)
        elif library == "torchvision":
            options = {"init_weights": False} if function in ("googlenet", "inception_v3") else {}
            network = getattr(importlib.import_module("torchvision.models"), function)(num_classes=CLASSES, **options)
        else:
            provider = importlib.import_module("pytorchcv.model_provider")
            network = provider.get_model(function, num_classes=CLASSES)
    for path, module in list(network.named_modules()):  # pytorchcv's pools have the size that large images leave
        if isinstance(module, nn.AvgPool2d) and path.endswith(("final_pool", "final_block.pool")):
            network.set_submodule(path, nn.AdaptiveAvgPool2d(1))
    return network.double().to_empty(device="cpu").eval()


@lru_cache
def _operators() -> Any:
    """Returns the declarations of torchvision's operators; it does not load without, and some builds lack them."""
    import torch

    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            operators.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return operators


def reference_logits(network: Any, arrays: Weights, matched: dict[str, str], images: np.ndarray) -> np.ndarray:
    """Returns the logits `[B, classes]` of a PyTorch network that is filled with our arrays, in float64."""
    import torch

    state = network.state_dict()
    for own, tensor in matched.items():
        array = arrays[own].transpose(3, 2, 0, 1) if arrays[own].ndim == 4 else arrays[own].T
        state[tensor].copy_(torch.from_numpy(array.reshape(tuple(state[tensor].shape)).copy()))
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64))))


_arrays = lru_cache(maxsize=1)(reference_arrays)


@lru_cache(maxsize=1)
def own_logits(text: str, gain: float) -> dict[str, np.ndarray]:
    """Returns the logits of our network by what runs it, float32."""
    architecture = Architecture.parse(text)
    arrays, images = _arrays(architecture, gain), reference_images(architecture.input.resolution)
    return {each: logits_by(each, architecture, arrays, images) for each in RUN_BY}


def logits_by(runner: str, architecture: Architecture, arrays: Weights, images: np.ndarray) -> np.ndarray:
    """Returns the logits `[2, classes]` that one of `RUN_BY` computes.

    Flax is compiled without optimisation, in a tenth of the time.
    """
    if runner == "flax":
        import jax

        from evaluators.networks.network import forward

        compiled = jax.jit(lambda arrays, images: forward(architecture.program, arrays, images),
                           compiler_options=UNOPTIMISED)
        return np.asarray(compiled(arrays, images))
    runtime = RUNTIMES[runner]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"network{runtime.suffix}"
        runtime.write(architecture, arrays, path, {})
        return runtime.load(path, Options()).run(images)


def relative_difference(logits: np.ndarray, reference: np.ndarray) -> float:
    """Returns the largest difference in units of the largest logit of the reference."""
    return float(np.abs(logits - reference).max() / np.abs(reference).max())


def compare(name: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Returns the record of a network, and its tensors' shapes by name."""
    architecture, network = reference_network(name), build_reference(name)
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()
              if not key.endswith("num_batches_tracked")}
    found = match_tensors(architecture.program, shapes, ZOO[zoo_name(name)].family)
    matched = {own: tensor for own, (_, tensor) in found.items()}
    images = reference_images(architecture.input.resolution)
    # as rounding would change them; what multiplies such a change tells nothing in float32
    changed = images * (1 + SMALL * np.random.default_rng(0).standard_normal(images.shape))
    for gain in GAINS:
        logits, others = np.split(reference_logits(
            network, _arrays(architecture, gain), matched, np.concatenate([images, changed])), 2)
        if relative_difference(logits[0], logits[1]) > APART and relative_difference(others, logits) < STABLE * SMALL:
            break
    own = own_logits(architecture.text, gain)
    differences = {each: float(f"{relative_difference(own[each], logits):.2g}") for each in RUN_BY}
    return ({"architecture": architecture.text, "gain": gain, "logits": logits.round(9).tolist(),
             "differences": differences, "order": order_of(list(matched.values()))},
            {key: list(shape) for key, shape in shapes.items()})


def read_records() -> dict[str, dict[str, Any]]:
    """Returns the records of the networks."""
    return json.loads(LOGITS.read_text())["networks"] if LOGITS.exists() else {}


def read_tensors() -> dict[str, dict[str, list[int]]]:
    """Returns the recorded shapes of the tensors of each network."""
    return json.loads(lzma.decompress(TENSORS.read_bytes())) if TENSORS.exists() else {}


def _by_size(name: str) -> tuple[int, str]:
    """Returns the sort key of a network: small ones first, those of one text, of which ours is run once, together."""
    architecture = reference_network(name)
    return architecture.params, architecture.text


def main() -> None:
    """Compares the networks that are named, or all of them, and records what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NETWORK", help="networks to compare; all without")
    names = parser.parse_args().names or [*TRANSCRIBED, *SOURCES]
    records, tensors = read_records(), read_tensors()
    for name in sorted(names, key=_by_size):
        records[name], tensors[name] = compare(name)
        told = ", ".join(f"{each} {value:.1e}" for each, value in records[name]["differences"].items())
        print(f"{name}: {told}", flush=True)
        write_whole(LOGITS, (json.dumps({
            "environment": environment() | {each: importlib.metadata.version(each) for each in VERSIONED},
            "networks": dict(sorted(records.items()))}) + "\n").encode())
    write_whole(TENSORS, lzma.compress(json.dumps(dict(sorted(tensors.items()))).encode()))
    worst = max(max(record["differences"].values()) for record in records.values())
    print(f"{len(records)} networks, largest difference {worst:.1e} of the largest logit")


if __name__ == "__main__":
    main()

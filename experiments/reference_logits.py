"""Do our networks compute what the reference implementations compute?

Fills reference networks of PyTorch with deterministic arrays of ours, and records their logits and the names and shapes
of their tensors; tests/evaluators/test_reference_logits.py compares ours with the record, so that tests need no torch.

    python experiments/reference_logits.py --torchvision SOURCES --out tests/evaluators/golden

Needs torch 2.13, timm, pytorchcv and the unpacked sources of torchvision 0.29 (a wheel is a zip file; its compiled
operators are not used). Takes about three minutes on one core; the record is some hundred kilobytes.
"""

import argparse
import importlib
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.networks.pretrained import match_tensors
from evaluators.networks.weights import Weights, initial_arrays
from search_spaces.architecture import Architecture
from search_spaces.zoo import ZOO

CLASSES = 16
# networks that timm has too, with other names of the same tensors, and the options that make them the same
TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "mobilenet_v2": ("mobilenetv2_100", {}),
    "mobilenet_v3_small": ("mobilenetv3_small_100", {"bn_eps": 0.001}),
    "mnasnet_b1_0.5": ("mnasnet_050", {}),
    "efficientnet_b0": ("efficientnet_b0", {}),
    "efficientnet_v2_s": ("tf_efficientnetv2_s", {"bn_eps": 0.001, "pad_type": ""}),
    "resnet50": ("resnet50", {}),
    "densenet121": ("densenet121", {}),
    "inception_v3": ("inception_v3", {}),
    "xception": ("legacy_xception", {}),
}
GAINS = {"efficientnet_v2_s": 0.8}  # of the kernels, 1 where not named
# network of the zoo: where its reference comes from, module and function there, resolution
REFERENCES = {
    "mobilenet_v1_0.25": ("pytorchcv", "mobilenet", "mobilenet_wd4", 64),
    "mobilenet_v2": ("torchvision", "mobilenetv2", "mobilenet_v2", 64),
    "mobilenet_v3_small": ("torchvision", "mobilenetv3", "mobilenet_v3_small", 64),
    "mobilenet_v3_large": ("torchvision", "mobilenetv3", "mobilenet_v3_large", 64),
    "mnasnet_b1_0.5": ("torchvision", "mnasnet", "mnasnet0_5", 64),
    "mnasnet_a1": ("timm", "", "semnasnet_100", 64),
    "mobilenext_0.5": ("transcribed", "", "", 64),
    "efficientnet_b0": ("torchvision", "efficientnet", "efficientnet_b0", 64),
    "efficientnet_lite0": ("timm", "", "efficientnet_lite0", 64),
    "efficientnet_v2_s": ("torchvision", "efficientnet", "efficientnet_v2_s", 64),
    "shufflenet_v1_g3": ("pytorchcv", "shufflenet", "shufflenet_g3_w1", 64),
    "shufflenet_v2_0.5": ("torchvision", "shufflenetv2", "shufflenet_v2_x0_5", 64),
    "squeezenet_1.1": ("torchvision", "squeezenet", "squeezenet1_1", 64),
    "squeezenet_1.0_bypass": ("pytorchcv", "squeezenet", "squeezeresnet_v1_0", 64),
    "resnet18": ("torchvision", "resnet", "resnet18", 64),
    "resnet50": ("torchvision", "resnet", "resnet50", 64),
    "resnext50_32x4d": ("timm", "", "resnext50_32x4d", 64),
    "resnetv2_18": ("pytorchcv", "preresnet", "preresnet18", 64),
    "resnetv2_50_stride1": ("pytorchcv", "preresnet", "preresnet50", 64),
    "densenet121": ("torchvision", "densenet", "densenet121", 64),
    "googlenet": ("torchvision", "googlenet", "googlenet", 64),
    "inception_v3": ("torchvision", "inception", "inception_v3", 96),
    "inception_v4": ("timm", "", "inception_v4", 96),
    "inception_resnet_v2": ("timm", "", "inception_resnet_v2", 96),
    "xception": ("pytorchcv", "xception", "xception", 96),
}


def reference_network(name: str) -> Architecture:
    """Returns the network of the zoo as the reference is compared: at a small resolution, with few classes."""
    return ZOO[name].architecture(resolution=REFERENCES[name][3], classes=CLASSES)


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


def _torchvision(sources: Path) -> None:
    """Makes the Python files of torchvision importable without its compiled operators."""
    def package(name: str, path: Path, **attributes: Any) -> types.ModuleType:
        module = sys.modules[name] = types.ModuleType(name)
        module.__path__ = [str(path)]
        module.__dict__.update(attributes)
        return module

    root = sources / "torchvision"
    package("torchvision", root)
    package("torchvision.models", root / "models")
    package("torchvision.transforms", root / "transforms")
    package("torchvision.transforms._presets", root, ImageClassification=object,
            InterpolationMode=types.SimpleNamespace(BILINEAR=None, BICUBIC=None))
    package("torchvision.utils", root, _log_api_usage_once=lambda model: None,
            _make_ntuple=lambda value, count: tuple(value) if isinstance(value, list | tuple) else (value,) * count)
    operators = package("torchvision.ops", root / "ops")
    for name in ("misc", "stochastic_depth"):
        operators.__dict__.update(importlib.import_module(f"torchvision.ops.{name}").__dict__)


def _timm() -> None:
    """Makes timm importable without its data pipeline, whose dependencies the models do not need."""
    class Constants(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.isupper():
                return (0.5, 0.5, 0.5)
            raise AttributeError(name)

    sys.modules["timm.data"] = constants = Constants("timm.data")
    constants.__path__ = []


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


def _reference(name: str) -> Any:
    """Returns the reference network in evaluation mode."""
    from torch import nn

    origin, module, function, _ = REFERENCES[name]
    if origin == "transcribed":
        return _mobilenext().eval()
    if origin == "timm":
        import timm
        return timm.create_model(function, num_classes=CLASSES).eval()
    found = importlib.import_module(f"{origin}.models.{module}")
    options: dict[str, Any] = {"init_weights": False} if module in ("googlenet", "inception") else {}
    network = getattr(found, function)(num_classes=CLASSES, **options).eval()
    if origin == "pytorchcv":  # its pools have the size that 224 pixels leave
        owner = network.output if hasattr(network.output, "final_pool") else network.features
        if hasattr(network.features, "final_block") and hasattr(network.features.final_block, "pool"):
            network.features.final_block.pool = nn.AdaptiveAvgPool2d(1)
        else:
            owner.final_pool = nn.AdaptiveAvgPool2d(1)
    return network


def record(name: str, network: Any) -> tuple[np.ndarray, dict[str, list[int]]]:
    """Returns a PyTorch network's logits `[2, classes]` on our arrays in float64, and its tensors' shapes by name."""
    import torch

    architecture, network = reference_network(name), network.double().eval()
    state = network.state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    arrays = reference_arrays(architecture, GAINS.get(name, 1.0))
    for own, (_, tensor) in match_tensors(architecture.program, shapes, ZOO[name].family).items():
        array = arrays[own].transpose(3, 2, 0, 1) if arrays[own].ndim == 4 else arrays[own].T
        state[tensor].copy_(torch.from_numpy(array.reshape(shapes[tensor]).copy()))
    images = reference_images(architecture.input.resolution)
    with torch.inference_mode():
        logits = network(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64)))
    return logits.numpy(), {key: list(shape) for key, shape in shapes.items()}


def main() -> None:
    """Records the references that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NETWORK", help="networks to record; all without")
    parser.add_argument("--torchvision", type=Path, required=True, help="folder that holds torchvision's sources")
    parser.add_argument("--out", type=Path, required=True, help="folder for the record")
    options = parser.parse_args()
    _torchvision(options.torchvision)
    _timm()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or REFERENCES:
        logits, shapes = record(name, _reference(name))
        recorded: dict[str, Any] = {"logits": logits.astype(float).round(9).tolist(), "tensors": shapes}
        if name in TIMM:
            import timm

            function, choices = TIMM[name]
            same, recorded["timm_tensors"] = record(name, timm.create_model(function, num_classes=CLASSES, **choices))
            np.testing.assert_allclose(same, logits, rtol=1e-6)
        text = json.dumps(recorded)
        (options.out / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {len(shapes)} tensors, largest logit {np.abs(logits).max():.4g}")


if __name__ == "__main__":
    main()

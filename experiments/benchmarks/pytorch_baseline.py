"""The networks of `mobile` in PyTorch, and their training as one would write it: eager, channels_last, fused AdamW.

Convolutions pad by `kernel // 2`, as is usual in PyTorch. The parameters, in the order of the modules, are those of the
architecture's program, in the order of its operations; a test compares the outputs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from evaluators.recipe import Recipe
from search_spaces import Architecture
from search_spaces.blocks.conventions import round_channels
from search_spaces.blocks.mobilenet import InvertedBottleneck
from search_spaces.blocks.plain import Head, PlainConvolution

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hswish": nn.Hardswish, "swish": nn.SiLU}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def conv_bn_act(channels: int, filters: int, kernel: int = 1, stride: int = 1, groups: int = 1, activation: str = ""
                ) -> nn.Sequential:
    """Returns convolution, batch norm and, if one is named, activation."""
    layers = [nn.Conv2d(channels, filters, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(filters)]
    return nn.Sequential(*layers, *([ACTIVATIONS[activation](inplace=True)] if activation else []))


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation with a hard sigmoid as gate."""

    def __init__(self, channels: int, ratio: float) -> None:
        """Makes the layers; the squeezed channels are a share of all, rounded to a multiple of 8."""
        super().__init__()
        squeezed = round_channels(channels * ratio, 8)
        self.squeeze, self.excite = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns `x` `[B, C, H, W]`, gated."""
        return x * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))


class Inverted(nn.Module):
    """Expand, depthwise convolution, squeeze-and-excitation, project, and a skip where shapes agree."""

    def __init__(self, channels: int, block: InvertedBottleneck) -> None:
        """Makes the module of a block for so many channels in."""
        super().__init__()
        expanded = round(channels * block.expansion)
        layers: list[nn.Module] = []
        if expanded != channels:
            layers.append(conv_bn_act(channels, expanded, activation=block.activation))
        layers.append(conv_bn_act(expanded, expanded, block.kernel, block.stride, expanded, block.activation))
        if block.se_ratio:
            layers.append(SqueezeExcite(expanded, block.se_ratio))
        layers.append(conv_bn_act(expanded, block.channels))
        self.body = nn.Sequential(*layers)
        self.skips = block.stride == 1 and channels == block.channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the block's output for `x` `[B, C, H, W]`."""
        return x + self.body(x) if self.skips else self.body(x)


def network(architecture: Architecture) -> nn.Sequential:
    """Returns the module of an architecture of plain convolutions, inverted bottlenecks and a head."""
    channels, layers = architecture.input.channels, []
    for block in architecture.blocks:
        match block:
            case PlainConvolution():
                layers.append(conv_bn_act(channels, block.channels, block.kernel, block.stride, 1, block.activation))
            case InvertedBottleneck():
                layers.append(Inverted(channels, block))
            case Head():
                layers += [conv_bn_act(channels, block.channels, activation=block.activation),
                           nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(block.channels, block.classes)]
        channels = getattr(block, "channels", channels)
    return nn.Sequential(*layers).to(DEVICE, memory_format=torch.channels_last)


@dataclass(frozen=True)
class Images:
    """Images `[N, C, H, W]` in uint8 and labels `[N]` on the device, with their moments `[1, C, 1, 1]`."""

    images: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def put(cls, images: np.ndarray, labels: np.ndarray, mean: Sequence[float], std: Sequence[float],
            resolution: int) -> "Images":
        """Puts uint8 images `[N, H, W, C]` on the device, resized once."""
        x = torch.from_numpy(images).permute(0, 3, 1, 2)
        if x.shape[2] != resolution:
            x = F.interpolate(x, (resolution, resolution), mode="bilinear", antialias=True)
        moments = (torch.tensor(value, dtype=torch.float32).reshape(1, -1, 1, 1).to(DEVICE) for value in (mean, std))
        return cls(x.to(DEVICE), torch.from_numpy(labels.astype(np.int64)).to(DEVICE), *moments)

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Returns uint8 images `[B, C, H, W]` as normalised float32 ones, channels last."""
        return images.float().div_(255).sub_(self.mean).div_(self.std).contiguous(memory_format=torch.channels_last)

    def augmented(self, chosen: torch.Tensor) -> torch.Tensor:
        """Returns a batch, each image shifted at random, normalised; the whole batch at once."""
        count, size = len(chosen), self.images.shape[2]
        reach = max(1, round(0.04 * size))
        padded = F.pad(self.images[chosen], (reach,) * 4)
        rows, columns = (torch.randint(2 * reach + 1, (count, 1), device=DEVICE) + torch.arange(size, device=DEVICE)
                         for _ in range(2))
        x = padded[torch.arange(count, device=DEVICE)[:, None, None], :, rows[:, :, None], columns[:, None]]
        return self.normalised(x.permute(0, 3, 1, 2))  # such indices leave the channels last


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Returns fused AdamW, with weight decay for kernels only."""
    parameters, settings = list(model.parameters()), recipe.optimizer
    return torch.optim.AdamW(
        [{"params": [one for one in parameters if one.ndim > 1], "weight_decay": settings.weight_decay},
         {"params": [one for one in parameters if one.ndim == 1], "weight_decay": 0.0}],
        lr=recipe.peak_rate, betas=(settings.momentum, settings.second_momentum), eps=settings.epsilon, fused=True)


def training_step(model: nn.Module, data: Images, recipe: Recipe) -> Callable[[torch.Tensor, float], torch.Tensor]:
    """Returns `step(chosen [B], rate) -> loss`."""
    stepper = optimizer(model.train(), recipe)

    def step(chosen: torch.Tensor, rate: float) -> torch.Tensor:
        for group in stepper.param_groups:
            group["lr"] = rate
        stepper.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(data.augmented(chosen)), data.labels[chosen],
                               label_smoothing=recipe.optimizer.label_smoothing)
        loss.backward()
        stepper.step()
        return loss.detach()

    return step


def train(architecture: Architecture, training: Images, validation: Images, recipe: Recipe, epochs: int) -> float:
    """Returns the validation accuracy after a training of some epochs."""
    model = network(architecture)
    step = training_step(model, training, recipe)
    per_epoch = len(training.labels) // recipe.batch
    for epoch in range(epochs):
        order = torch.randperm(len(training.labels), device=DEVICE)[:per_epoch * recipe.batch]
        for index, chosen in enumerate(order.split(recipe.batch)):
            loss = step(chosen, recipe.rate((epoch * per_epoch + index) / (epochs * per_epoch)))
        if not math.isfinite(loss.item()):
            raise FloatingPointError("the loss is not a number")
    model.eval()
    with torch.inference_mode():
        correct = sum(int((model(validation.normalised(images)).argmax(1) == labels).sum()) for images, labels in zip(
            validation.images.split(500), validation.labels.split(500), strict=True))
    return correct / len(validation.labels)

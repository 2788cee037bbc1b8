"""Primitive layers, the ways to compose them, and the arithmetic of both.

A block expands to an expression: primitive layers composed by `Sequence` and `Branches`, which
`search_spaces.program` turns into a list of operations.

Shapes are `(height, width, channels)` of one example; weights are laid out as in Flax: convolution kernels
`[kernel_height, kernel_width, channels_in / groups, filters]`, dense kernels `[features_in, features]`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

from search_spaces.errors import require

Shape = tuple[int, int, int]

PADDINGS = ("same", "symmetric", "valid")
ACTIVATIONS = ("relu", "relu6", "hswish", "swish")
GATES = ("sigmoid", "hsigmoid")
POOLS = ("max", "average")
FLOAT32_BYTES = 4
MOST_CHANNELS = 2**16  # of a layer: no network has nearly as many


def padding_of(size: int, kernel: int, stride: int, mode: str) -> tuple[int, int, int]:
    """Returns `(output size, padding before, padding after)` along one axis.

    `same` is TensorFlow's rule (the output is `ceil(size / stride)`, an odd pixel of padding goes last); `symmetric`
    is PyTorch's custom of `kernel // 2` on both sides; `valid` pads nothing.

    >>> padding_of(28, 3, 2, "same"), padding_of(28, 3, 2, "symmetric")
    ((14, 0, 1), (14, 1, 1))
    """
    if mode == "same":
        out = -(-size // stride)
        total = max((out - 1) * stride + kernel - size, 0)
        return out, total // 2, total - total // 2
    pad = kernel // 2 if mode == "symmetric" else 0
    return (size + 2 * pad - kernel) // stride + 1, pad, pad


def _window(shape: Shape, kernel: tuple[int, int], stride: int, padding: str) -> tuple[int, int]:
    height, width = (padding_of(shape[axis], kernel[axis], stride, padding)[0] for axis in (0, 1))
    _require_pixels(shape, height, width, kernel, stride)
    return height, width


def _require_pixels(shape: Shape, height: int, width: int, kernel: tuple[int, int], stride: int) -> None:
    require(height > 0 and width > 0, f"a layer's output must keep at least one pixel, but {kernel[0]}x{kernel[1]} "
            f"stride {stride} on {shape[0]}x{shape[1]} leaves {height}x{width}")


class Primitive(Protocol):
    """A layer that interpreters know. `*shapes` are the shapes of its inputs, without the batch axis."""

    label: ClassVar[str]

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the shape of the output; raises `InvalidInput` where the inputs do not fit."""
        ...

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the trainable weights by name."""
        ...


@dataclass(frozen=True)
class Convolution:
    """Two-dimensional convolution; `groups == channels in == filters` makes it depthwise."""

    label: ClassVar[str] = "convolution"
    filters: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    groups: int = 1
    padding: str = "same"
    bias: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns `(height, width, filters)`."""
        channels = shapes[0][2]
        require(self.filters >= 1, f"`filters` must be at least 1, but got filters={self.filters}")
        require(self.groups >= 1 and channels % self.groups == 0 and self.filters % self.groups == 0,
                f"`groups` must be at least 1 and divide the channels in and out, but got groups={self.groups} for "
                f"{channels} -> {self.filters} channels")
        return (*_window(shapes[0], self.kernel, self.stride, self.padding), self.filters)

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns the kernel's shape, and the bias's if there is one."""
        kernel = {"kernel": (*self.kernel, shapes[0][2] // self.groups, self.filters)}
        return kernel | ({"bias": (self.filters,)} if self.bias else {})

    def is_depthwise(self, channels: int) -> bool:
        """Tells whether every filter reads one channel of its own."""
        return self.groups == channels == self.filters and channels > 1


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation over all axes but the channels; its running statistics are not parameters."""

    label: ClassVar[str] = "batch_norm"
    epsilon: float = 1e-5
    momentum: float = 0.9

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the input's shape."""
        return shapes[0]

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of scale and bias."""
        return {"scale": (shapes[0][2],), "bias": (shapes[0][2],)}

    def statistics(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the running mean and variance."""
        return {"mean": (shapes[0][2],), "var": (shapes[0][2],)}


@dataclass(frozen=True)
class Activation:
    """An elementwise function of `ACTIVATIONS` or `GATES`."""

    label: ClassVar[str] = "activation"
    function: str

    def __post_init__(self) -> None:
        known = ACTIVATIONS + GATES
        require(self.function in known, f"`activation` must be one of {', '.join(known)}, but got '{self.function}'")

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the input's shape."""
        return shapes[0]

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


@dataclass(frozen=True)
class Pool:
    """Largest or average value of a window. An average counts real pixels only, unless it counts the padding too.

    `ceil` keeps a last window that hangs over the edge, as long as it begins on a real or padded pixel (PyTorch's
    `ceil_mode`); `same` padding always does.
    """

    label: ClassVar[str] = "pool"
    function: str
    kernel: int
    stride: int
    padding: str = "same"
    ceil: bool = False
    count_padding: bool = False

    def __post_init__(self) -> None:
        require(self.function in POOLS, f"`pool` must be one of {', '.join(POOLS)}, but got '{self.function}'")
        require(not (self.ceil and self.count_padding), "an average that counts its padding cannot hang over the edge")

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns `(height, width, channels)`."""
        height, width = (self._along(size)[0] for size in shapes[0][:2])
        _require_pixels(shapes[0], height, width, (self.kernel, self.kernel), self.stride)
        return (height, width, shapes[0][2])

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}

    def pads(self, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
        """Returns the padding `(before, after)` of height and of width for an input shape."""
        height, width = (self._along(size)[1:] for size in shape[:2])
        return height, width

    def _along(self, size: int) -> tuple[int, int, int]:
        """Returns `(output size, padding before, padding after)` along one axis."""
        out, before, after = padding_of(size, self.kernel, self.stride, self.padding)
        over = size + before + after - self.kernel - (out - 1) * self.stride
        if self.ceil and over > 0 and out * self.stride < size + before:
            return out + 1, before, after + self.stride - over
        return out, before, after


@dataclass(frozen=True)
class GlobalPool:
    """Average over height and width, which stay as axes of one pixel."""

    label: ClassVar[str] = "global_pool"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns `(1, 1, channels)`."""
        return (1, 1, shapes[0][2])

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


@dataclass(frozen=True)
class Slice:
    """The channels from `begin` up to, but not including, `end`."""

    label: ClassVar[str] = "slice"
    begin: int
    end: int

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns `(height, width, end - begin)`."""
        require(0 <= self.begin < self.end <= shapes[0][2], f"a slice must keep some of the channels, but got "
                f"{self.begin} to {self.end} of {shapes[0][2]}")
        return (*shapes[0][:2], self.end - self.begin)

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


@dataclass(frozen=True)
class Shuffle:
    """Channels interleaved: the first of every group, then the second of every group, and so on."""

    label: ClassVar[str] = "shuffle"
    groups: int

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the input's shape."""
        require(self.groups >= 1 and shapes[0][2] % self.groups == 0, "`groups` must be at least 1 and divide the "
                f"channels, but got groups={self.groups} for {shapes[0][2]} channels")
        return shapes[0]

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


@dataclass(frozen=True)
class Scale:
    """Product with a constant."""

    label: ClassVar[str] = "scale"
    factor: float

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the input's shape."""
        return shapes[0]

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


@dataclass(frozen=True)
class Dense:
    """Fully connected layer over the flattened input; the output has one pixel."""

    label: ClassVar[str] = "dense"
    features: int
    bias: bool = True

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns `(1, 1, features)`."""
        require(self.features >= 1, f"`features` must be at least 1, but got features={self.features}")
        return (1, 1, self.features)

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns the kernel's shape, and the bias's if there is one."""
        kernel = {"kernel": (math.prod(shapes[0]), self.features)}
        return kernel | ({"bias": (self.features,)} if self.bias else {})


@dataclass(frozen=True)
class Add:
    """Sum of inputs of one shape."""

    label: ClassVar[str] = "add"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the common shape."""
        require(len(set(shapes)) == 1, f"added branches must have one shape, but got {_join(shapes)}")
        return shapes[0]

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


@dataclass(frozen=True)
class Multiply:
    """Product of the first input with a second of the same channels and of one pixel or the same size."""

    label: ClassVar[str] = "multiply"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the first input's shape."""
        value, gate = shapes
        require(gate in (value, (1, 1, value[2])), f"a gate must fit what it gates, but got {_join(shapes)}")
        return value

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


@dataclass(frozen=True)
class Concatenate:
    """Channels of all inputs, one after the other."""

    label: ClassVar[str] = "concatenate"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the common height and width with the sum of the channels."""
        require(len({shape[:2] for shape in shapes}) == 1,
                f"concatenated branches must have one height and width, but got {_join(shapes)}")
        return (*shapes[0][:2], sum(shape[2] for shape in shapes))

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


def _join(shapes: tuple[Shape, ...]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes)


@dataclass(frozen=True)
class Sequence:
    """Layers one after the other; none is the identity. A name becomes part of the names of its weights."""

    parts: tuple["Layer", ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Branches:
    """Layers that read the same input, and the primitive that joins their outputs."""

    join: Add | Multiply | Concatenate
    branches: tuple["Layer", ...]
    name: str = ""


Layer = Primitive | Sequence | Branches
IDENTITY = Sequence()

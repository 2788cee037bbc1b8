"""The zoo's record of a published network, and its form for other data."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from search_spaces.architecture import SEPARATOR, Architecture
from search_spaces.errors import InvalidInput


@dataclass(frozen=True)
class Published:
    """A published network: its text, its family, its paper, and the rows of published tables that it reproduces.

    A row is written as `table:name`: `torchvision` is the metadata of its weights, `imgclsmob` the model table of that
    project, `tf-slim` the MobileNet tables of the TensorFlow models, `mobilenext` the table of the MobileNeXt paper.
    """

    text: str
    family: str
    source: str
    rows: tuple[str, ...] = ()

    def architecture(self, resolution: int | None = None, channels: int | None = None,
                     classes: int | None = None) -> Architecture:
        """Returns the network, put to another resolution, other input channels or another number of classes.

        Raises:
            InvalidInput: at this resolution a layer would have no pixel left, or a value is out of range.
        """
        return adapted(Architecture.parse(self.text), resolution, channels, classes)


def adapted(architecture: Architecture, resolution: int | None = None, channels: int | None = None,
            classes: int | None = None) -> Architecture:
    """Returns an architecture with another resolution, other input channels or another number of classes.

    Raises:
        InvalidInput: at this resolution a layer would have no pixel left, or a value is out of range.
    """
    if (resolution, channels, classes) == (None, None, None):
        return architecture
    changes = {"resolution": resolution, "channels": channels}
    given = dataclasses.replace(architecture.input, **_stated(changes))
    *blocks, last = architecture.blocks
    if classes is not None:
        if not any(field.name == "classes" for field in dataclasses.fields(last)):  # type: ignore[arg-type]
            raise InvalidInput(f"the last block must have classes to change, but got '{architecture.text}'")
        last = dataclasses.replace(last, classes=classes)  # type: ignore[type-var]
    return Architecture(given, (*blocks, last))


def _stated(changes: dict[str, int | None]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def join(*tokens: str) -> str:
    """Returns the text of a network out of the tokens of its parts; a part may be several tokens, or empty."""
    return SEPARATOR.join(token for token in tokens if token)


def repeated(first: str, others: str, depth: int) -> str:
    """Returns the tokens of a stage: one of its own for the first layer, one for the others."""
    return SEPARATOR.join([first, *[others] * (depth - 1)])

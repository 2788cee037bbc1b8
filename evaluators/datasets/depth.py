"""Images of more than 8 bits a value, as depth maps and X-rays are: their own range becomes that of bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_bytes(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Returns values with `low` at 0 and `high` at 255, rounded and clipped.

    >>> to_bytes(np.array([400, 1000, 1600, 9000]), 400, 1600).tolist()
    [0, 128, 255, 255]
    """
    scaled = (values.astype(np.float64) - low) / ((high - low) or 1) * 255
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def scaling_line(low: float, high: float) -> str:
    """Returns the line that tells a user how values became bytes."""
    return f"values {low:,.6g} to {high:,.6g}, the range of the training images, scaled to 0 to 255"

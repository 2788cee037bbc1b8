"""The metadata that phones' libraries read of LiteRT files: the normalisation of images and the names of classes.

They are a flatbuffer of TensorFlow Lite's `metadata_schema.fbs` in a buffer of the model, and refer to a file of labels
that is enclosed in the model file. Tables are written as `{slot: value}`, slots in the order of that schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.runtimes.enclosed import LABELS, classes_of
from evaluators.runtimes.runtime import moments

NAME = "TFLITE_METADATA"  # of the buffer
FILE_IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.0.0"
IMAGE_PROPERTIES, NORMALIZATION_OPTIONS = 2, 1  # of the unions ContentProperties and ProcessUnitOptions
RGB, GRAYSCALE = 1, 2  # of the enumeration ColorSpaceType
TENSOR_AXIS_LABELS = 2  # of the enumeration AssociatedFileType
COLOUR_SPACES = {1: GRAYSCALE, 3: RGB}


@dataclass(frozen=True)
class Byte:
    """A value of an enumeration, or the type of a union."""

    value: int


def tflite_metadata(image: str, logits: str, channels: int, metadata: Mapping[str, str], inside: bool) -> bytes:
    """Returns the metadata of a network of one input and one output; of no bytes where images are not told of.

    Args:
        image: the name of the input.
        logits: the name of the output.
        channels: of the images.
        metadata: the texts of the file, see `Runtime.write`.
        inside: whether the file normalises images itself.
    """
    import flatbuffers

    if "mean" not in metadata:
        return b""
    mean, std = (255 * np.asarray(values) for values in moments(metadata))  # of bytes
    if inside:
        mean, std = np.zeros(1), np.ones(1)
    content = {0: Byte(IMAGE_PROPERTIES), 1: {0: Byte(COLOUR_SPACES[channels])}} if channels in COLOUR_SPACES else {}
    images = {0: image, 1: metadata.get("preprocessing", ""), 3: content,
              4: [{0: Byte(NORMALIZATION_OPTIONS), 1: {0: mean, 1: std}}],
              5: {0: (255 - mean) / std, 1: -mean / std}}
    labels = [{0: LABELS, 2: Byte(TENSOR_AXIS_LABELS)}] if classes_of(metadata) else []
    classes = {0: logits, 1: "a softmax makes probabilities of them", 6: labels}
    builder = flatbuffers.Builder()
    model = {0: "paretonas", 1: metadata.get("architecture", ""), 3: [{2: [images], 3: [classes]}],
             7: MIN_PARSER_VERSION}
    builder.Finish(_written(builder, model), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _written(builder: Any, value: Any) -> int:
    """Returns the offset of a text, a table, or an array of floats or of tables, having written it."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value.astype(np.float32))
    if isinstance(value, list):
        items = [_written(builder, item) for item in value]
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()
    places = {slot: _written(builder, item) for slot, item in value.items() if not isinstance(item, Byte)}
    builder.StartObject(max(value, default=-1) + 1)
    for slot, item in value.items():
        if isinstance(item, Byte):
            builder.PrependInt8Slot(slot, item.value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, places[slot], 0)
    return builder.EndObject()

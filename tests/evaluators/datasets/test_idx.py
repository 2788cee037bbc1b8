"""IDX files are written here byte by byte, from the description of the format."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from evaluators.datasets import load_dataset
from evaluators.datasets.idx import read_idx
from search_spaces.errors import InvalidInput

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 6, 6), dtype=np.uint8)
LABELS = np.arange(24, dtype=np.uint8) % 3
FILES = {
    "train-images-idx3-ubyte": struct.pack(">4B3I", 0, 0, 8, 3, 24, 6, 6) + IMAGES.tobytes(),
    "train-labels-idx1-ubyte": struct.pack(">4BI", 0, 0, 8, 1, 24) + LABELS.tobytes(),
    "t10k-images-idx3-ubyte": struct.pack(">4B3I", 0, 0, 8, 3, 9, 6, 6) + IMAGES[:9].tobytes(),
    "t10k-labels-idx1-ubyte": struct.pack(">4BI", 0, 0, 8, 1, 9) + LABELS[:9].tobytes(),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def compress(folder: Path, name: str) -> None:
    (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
    (folder / name).unlink()


def test_every_byte_lands_where_the_format_says(folder: Path) -> None:
    content = FILES["train-images-idx3-ubyte"]
    images = read_idx(folder / "train-images-idx3-ubyte", dimensions=3)
    assert images.shape == (24, 6, 6) and images.dtype == np.uint8
    for index in np.ndindex(images.shape):
        assert images[index] == content[16 + index[0] * 36 + index[1] * 6 + index[2]]
    np.testing.assert_array_equal(read_idx(folder / "train-labels-idx1-ubyte", dimensions=1), LABELS)


def test_a_folder_of_idx_files_is_a_data_set(folder: Path) -> None:
    data = load_dataset(str(folder))
    assert data.classes == ("0", "1", "2") and (data.resolution, data.channels) == (6, 1)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [20, 4, 9]
    np.testing.assert_array_equal(data.test.images[..., 0], IMAGES[:9])
    np.testing.assert_array_equal(data.test.labels, LABELS[:9])
    assert data.name == folder.name


def test_compressed_files_give_the_same_data_set(folder: Path) -> None:
    plain = load_dataset(str(folder)).fingerprint
    compress(folder, "train-images-idx3-ubyte")
    compress(folder, "t10k-labels-idx1-ubyte")
    assert load_dataset(str(folder)).fingerprint == plain


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InvalidInput, match=rf"lacks {name}\[\.gz\]"):
        load_dataset(str(folder))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "must begin with 0x00000803, but it begins with 0x$"),
    (FILES["train-labels-idx1-ubyte"], "must begin with 0x00000803, but it begins with 0x00000801"),
    (FILES["train-images-idx3-ubyte"][:11], "must have a header of 16 bytes, but it ends after 11"),
    (FILES["train-images-idx3-ubyte"][:-1], "has 863 bytes for 24 x 6 x 6"),
    (FILES["train-images-idx3-ubyte"] + b"!", "has more than 864 bytes for 24 x 6 x 6"),
    (struct.pack(">4B3I", 0, 0, 8, 3, 1000, 1000, 1000), "has 0 bytes for 1000 x 1000 x 1000"),
    (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "its 4294967295 x 4294967295 x 4294967295 values take"),
])
def test_a_damaged_file_is_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        load_dataset(str(folder))


@pytest.mark.parametrize("damage", [lambda content: content[:-12], lambda content: b"plain" + content,
                                    lambda content: content[:40] + b"\xff\xff" + content[42:],
                                    lambda content: content[:10] + b"\xff" + content[11:]])
def test_a_damaged_compressed_file_is_refused(folder: Path, damage) -> None:
    compress(folder, "train-images-idx3-ubyte")
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidInput, match=r"must be intact, but '.*train-images-idx3-ubyte\.gz' is not"):
        load_dataset(str(folder))


def test_images_without_labels_are_refused(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 7) + LABELS[:7].tobytes())
    with pytest.raises(InvalidInput, match=r"the test part of '.*' has 9 images and 7 labels"):
        load_dataset(str(folder))

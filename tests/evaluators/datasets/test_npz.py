import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.datasets import load_dataset
from evaluators.datasets.npz import read_npz
from search_spaces.errors import InvalidInput

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3
ARRAYS = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:6], "y_test": LABELS[:6]}


def write(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def test_arrays_are_taken_as_they_are(tmp_path: Path) -> None:
    data = load_dataset(write(tmp_path, **ARRAYS, x_val=IMAGES[6:9], y_val=LABELS[6:9]))
    for part, images, labels in [(data.train, IMAGES, LABELS), (data.validation, IMAGES[6:9], LABELS[6:9]),
                                 (data.test, IMAGES[:6], LABELS[:6])]:
        np.testing.assert_array_equal(part.images, images)
        np.testing.assert_array_equal(part.labels, labels)
        assert part.images.dtype == np.uint8 and part.labels.dtype == np.int32
    assert data.split == "validation: as given; test: as given"
    assert data.name == "data.npz" and data.classes == ("0", "1", "2")


def test_a_missing_validation_part_is_cut_from_the_training_part(tmp_path: Path) -> None:
    data = load_dataset(write(tmp_path, **ARRAYS), seed=3)
    assert data.split == "validation: 5 of 30 training images, stratified, seed 3; test: as given"
    assert (len(data.train), len(data.validation), len(data.test)) == (25, 5, 6)


def test_grey_images_need_no_channel_axis(tmp_path: Path) -> None:
    grey = {key: array[..., 0] if array.ndim == 4 else array for key, array in ARRAYS.items()}
    data = load_dataset(write(tmp_path, **grey))
    assert data.channels == 1
    np.testing.assert_array_equal(data.test.images[..., 0], IMAGES[:6, ..., 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_labels_of_any_integer_type_are_the_same(tmp_path: Path, dtype: type) -> None:
    arrays = ARRAYS | {"y_train": LABELS.astype(dtype), "y_test": LABELS[:6].astype(dtype)}
    assert load_dataset(write(tmp_path, **arrays)).fingerprint == load_dataset(write(tmp_path, **ARRAYS)).fingerprint


@pytest.mark.parametrize("missing", ARRAYS)
def test_a_missing_array_is_named(tmp_path: Path, missing: str) -> None:
    path = write(tmp_path, **{key: array for key, array in ARRAYS.items() if key != missing})
    with pytest.raises(InvalidInput, match=f"must hold x_train, y_train, x_test, y_test, but '.*' lacks {missing}$"):
        load_dataset(path)


def test_a_validation_part_needs_its_labels(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="lacks y_val"):
        load_dataset(write(tmp_path, **ARRAYS, x_val=IMAGES[:3]))


def test_an_unknown_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"unknown array in '.*' 'x_vall'; did you mean 'x_val'"):
        load_dataset(write(tmp_path, **ARRAYS, x_vall=IMAGES))


KINDS = {"x": ["x", "images", "image"], "y": ["y", "labels", "label"]}
PARTS = {"train": ["train", "training"], "val": ["val", "valid", "validation"], "test": ["test", "testing"]}


@settings(deadline=None)
@given(st.data())
def test_names_say_part_and_kind_in_either_order_and_any_case(data: st.DataObject) -> None:
    def spelled(name: str) -> str:
        kind, part = name.split("_")
        words = [data.draw(st.sampled_from(KINDS[kind])), data.draw(st.sampled_from(PARTS[part]))]
        case = data.draw(st.sampled_from([str.lower, str.upper, str.title]))
        return case("_".join(data.draw(st.permutations(words))))

    file = io.BytesIO()
    arrays = ARRAYS | {"x_val": IMAGES[6:9], "y_val": LABELS[6:9]}
    np.savez(file, **{spelled(name): array for name, array in arrays.items()})
    file.seek(0)
    parts = read_npz(file, "x")
    assert parts.validation is not None and parts.test is not None
    np.testing.assert_array_equal(parts.train.images, IMAGES)
    np.testing.assert_array_equal(parts.validation.images, IMAGES[6:9])
    np.testing.assert_array_equal(parts.test.labels, LABELS[:6])


def test_a_file_of_medmnist_loads(tmp_path: Path) -> None:
    medical = {f"{part}_{kind}": array for part in ("train", "val", "test")
               for kind, array in (("images", IMAGES), ("labels", LABELS[:, None].astype(np.uint8)))}
    data = load_dataset(write(tmp_path, **medical))
    assert data.split == "validation: as given; test: as given" and data.test.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("key", ["classes", "class_names", "Class_Names"])
def test_classes_may_be_named(tmp_path: Path, key: str) -> None:
    assert load_dataset(write(tmp_path, **ARRAYS, **{key: np.array(["a", "b", "c"])})).classes == ("a", "b", "c")


def test_two_arrays_of_a_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"one array of each kind, but '.*' has x_train and train_images"):
        load_dataset(write(tmp_path, **ARRAYS, train_images=IMAGES))


@pytest.mark.parametrize("key", ["x_trian", "trainimages", "images_tst", "images", "data", "train", "labels_trian",
                                 "y"])
def test_labels_are_never_suggested_for_images(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidInput, match=f"unknown array in '.*' '{key}'") as error:
        load_dataset(write(tmp_path, **ARRAYS, **{key: IMAGES}))
    hint = str(error.value).partition("did you mean '")[2][:1]
    assert hint in ("", "y" if key.startswith(("y", "labels")) else "x")


def test_pickled_objects_are_refused_without_being_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return Path.touch, (marker,)

    objects = np.empty(6, dtype=object)
    objects[0] = Payload()
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Payload()))
    for path in (write(tmp_path, **ARRAYS | {"y_test": objects}), str(tmp_path / "raw.npz")):
        with pytest.raises(InvalidInput, match=r"named arrays, none of them pickled, but '.*' is not"):
            load_dataset(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload()))  # noqa: S301 - shows that the payload would have run
    assert marker.exists()


def one_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, IMAGES)
    return buffer.getvalue()


def archive(damage=lambda content: content) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **ARRAYS)
    return damage(buffer.getvalue())


def raw_member() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in ARRAYS:
            file.writestr(name, b"no array")
    return buffer.getvalue()


def encrypted(content: bytes) -> bytes:
    at = content.index(b"PK\x01\x02") + 8  # the flags of the first member in the central directory
    return content[:at] + bytes([content[at] | 1]) + content[at + 1:]


def undecodable(content: bytes) -> bytes:
    name, extra = struct.unpack("<2H", content[26:30])
    at = 30 + name + extra  # the first compressed byte, of a block of a type that does not exist
    return content[:at] + b"\xff" + content[at + 1:]


@pytest.mark.parametrize("content", [
    b"", b"text", one_array(), raw_member(), archive(encrypted), archive(undecodable),
    archive(lambda content: content[:-100]), archive(lambda content: content[:500] + bytes(50) + content[550:]),
])
def test_what_is_no_intact_archive_of_arrays_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"intact archive of named arrays, none of them pickled, but '.*data\.npz'"):
        load_dataset(str(tmp_path / "data.npz"))


def test_colour_photographs_load(tmp_path: Path, published) -> None:
    parts = [np.load(published("sign_digits32", f"sign_digits32_part{index}.npz")) for index in (0, 1)]
    path = write(tmp_path, **{f"{axis}_{name}": part[axis] for name, part in zip(("train", "test"), parts, strict=True)
                              for axis in "xy"})
    data = load_dataset(path)
    assert (data.resolution, data.channels, len(data.classes)) == (32, 3, 10)
    assert (len(data.train), len(data.validation), len(data.test)) == (859, 172, 1031)
    pixels = data.train.images.reshape(-1, 3) / 255
    np.testing.assert_allclose(data.mean, pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(data.std, pixels.std(axis=0), rtol=1e-6)
    smaller = load_dataset(path, resolution=16)
    np.testing.assert_array_equal(smaller.validation.labels, data.validation.labels)
    images = data.validation.images.astype(float)
    for axis in (1, 2):  # halving weighs 4 pixels with 1, 3, 3 and 1 eighths along each side, but at the edges
        images = sum(weight / 8 * np.take(images, np.arange(14) * 2 + 1 + offset, axis)
                     for offset, weight in enumerate((1, 3, 3, 1)))
    assert np.abs(smaller.validation.images[:, 1:-1, 1:-1] - images).max() <= 1.01

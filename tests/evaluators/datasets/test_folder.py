import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluators.datasets import Dataset, load_dataset
from evaluators.datasets.resizing import square
from search_spaces.errors import InvalidInput


def picture(seed: int, size: tuple[int, int] = (10, 10), mode: str = "RGB") -> Image.Image:
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def fill(root: Path, classes=("cat", "dog"), count: int = 6, suffix: str = "png", **options) -> Path:
    for seed, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(seed * 1000 + index, **options).save(root / name / f"{index}.{suffix}")
    return root


def parts(data: Dataset) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def test_a_sub_folder_is_a_class_and_missing_parts_are_cut(tmp_path: Path) -> None:
    data = load_dataset(str(fill(tmp_path / "pets", ("dog", "ant", "cat"), 12)))
    assert data.classes == ("ant", "cat", "dog") and data.name == "pets"
    assert parts(data) == (25, 5, 6) and (data.resolution, data.channels) == (10, 3)
    assert data.split == ("validation: 5 of 30 training images, stratified, seed 0; "
                          "test: 6 of 36 training images, stratified, seed 0")


def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "val", "test")):
        fill(tmp_path / part, count=3)
        picture(seed + 10).save(tmp_path / part / "cat" / "1.png")
        picture(seed + 20).save(tmp_path / part / "dog" / "2.png")
    data = load_dataset(str(tmp_path))
    assert parts(data) == (6, 6, 6) and data.split == "validation: as given; test: as given"
    for seed, part in enumerate((data.train, data.validation, data.test)):
        assert part.labels.tolist() == [0, 0, 0, 1, 1, 1] and part.labels.dtype == np.int32
        np.testing.assert_array_equal(part.images[1], np.asarray(picture(seed + 10)))
        np.testing.assert_array_equal(part.images[5], np.asarray(picture(seed + 20)))


def test_validation_may_be_written_out_and_test_may_be_missing(tmp_path: Path) -> None:
    fill(tmp_path / "train", count=12)
    fill(tmp_path / "validation", count=2)
    data = load_dataset(str(tmp_path))
    assert parts(data) == (20, 4, 4)
    assert data.split == "validation: as given; test: 4 of 24 training images, stratified, seed 0"


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert load_dataset(str(fill(tmp_path, ("car", "test", "train")))).classes == ("car", "test", "train")


def test_the_order_of_the_listing_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(fill(tmp_path, ("a", "b", "c"), 15))
    listed, orders = Path.iterdir, []

    def shuffled(seed: int):
        def iterdir(path: Path):
            entries = sorted(listed(path))
            np.random.default_rng(seed).shuffle(entries)
            orders.append([entry.name for entry in entries])
            return iter(entries)
        return iterdir

    prints = set()
    for seed in range(4):
        monkeypatch.setattr(Path, "iterdir", shuffled(seed))
        prints.add(load_dataset(root).fingerprint)
    assert len(prints) == 1 and len(set(map(tuple, orders))) > 4
    assert load_dataset(root, seed=1).fingerprint not in prints


def test_images_of_mixed_sizes_become_32_pixels_or_what_is_asked(tmp_path: Path) -> None:
    fill(tmp_path)
    odd = picture(9, (50, 21))
    odd.save(tmp_path / "cat" / "0.png")
    assert load_dataset(str(tmp_path)).resolution == 32
    shutil.copytree(tmp_path, tmp_path / "train")
    shutil.rmtree(tmp_path / "cat")
    shutil.rmtree(tmp_path / "dog")
    data = load_dataset(str(tmp_path), resolution=12)
    assert data.resolution == 12
    expected = np.asarray(square(odd, 12))
    every = np.concatenate([part.images for part in (data.train, data.validation, data.test)])
    assert sum(np.array_equal(image, expected) for image in every) == 1


def test_the_split_does_not_depend_on_the_resolution(tmp_path: Path) -> None:
    fill(tmp_path, count=30)
    for seed, path in enumerate(sorted(tmp_path.glob("*/*"))):
        Image.new("RGB", (10, 10), (seed, 0, 0)).save(path)  # one colour, which no resizing changes
    found = [load_dataset(str(tmp_path), resolution=resolution) for resolution in (None, 5, 17)]
    for data in found:
        assert data.validation.images[:, 0, 0, 0].tolist() == found[0].validation.images[:, 0, 0, 0].tolist()


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    fill(tmp_path, mode="L")
    Image.new("1", (10, 10), 1).save(tmp_path / "cat" / "0.png")
    Image.merge("LA", [Image.new("L", (10, 10), 7)] * 2).save(tmp_path / "cat" / "1.png")
    data = load_dataset(str(tmp_path))
    assert data.channels == 1
    every = np.concatenate([part.images for part in (data.train, data.validation, data.test)])
    assert sum((image == 255).all() for image in every) == 1 and sum((image == 7).all() for image in every) == 1


def test_the_upper_half_of_16_bits_is_kept(tmp_path: Path) -> None:
    fill(tmp_path, mode="L")
    deep = np.arange(100, dtype=np.uint16).reshape(10, 10) * 655
    Image.fromarray(deep).save(tmp_path / "cat" / "0.png")
    data = load_dataset(str(tmp_path))
    every = np.concatenate([part.images for part in (data.train, data.validation, data.test)])
    assert data.channels == 1
    assert sum(np.array_equal(image[..., 0], deep // 256) for image in every) == 1


def test_one_colour_image_makes_all_rgb(tmp_path: Path) -> None:
    fill(tmp_path, mode="L")
    Image.new("RGB", (10, 10), (255, 0, 0)).quantize(2).save(tmp_path / "cat" / "0.png")
    Image.new("RGBA", (10, 10), (0, 255, 0, 128)).save(tmp_path / "cat" / "1.png")
    data = load_dataset(str(tmp_path))
    every = np.concatenate([part.images for part in (data.train, data.validation, data.test)])
    assert data.channels == 3
    for colour in ((255, 0, 0), (0, 255, 0)):
        assert sum((image == colour).all() for image in every) == 1
    assert sum((image == image[..., :1]).all() for image in every) == 10


def test_jpeg_images_load_upright(tmp_path: Path) -> None:
    fill(tmp_path, suffix="jpg")
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned a quarter clockwise for viewing
    for path in tmp_path.glob("*/*"):
        Image.fromarray(np.rot90(upright)).save(path.with_suffix(".JPEG"), exif=exif, quality=95)
        path.unlink()
    data = load_dataset(str(tmp_path))
    assert np.abs(data.test.images.astype(int) - upright).max() < 8


def test_hidden_files_and_files_beside_the_classes_are_passed_over(tmp_path: Path) -> None:
    plain = load_dataset(str(fill(tmp_path))).fingerprint
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / ".thumbnail").write_bytes(b"")
    assert load_dataset(str(tmp_path)).fingerprint == plain


def nothing(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def truncated(name: str):
    def damage(root: Path) -> None:
        picture(0, (40, 40)).save(root / "cat" / name)
        content = (root / "cat" / name).read_bytes()
        (root / "cat" / name).write_bytes(content[:len(content) // 2])
    return damage


def shortened_chunk(kind: bytes):
    """A PNG file in which a chunk says that it is shorter than it is."""
    def damage(root: Path) -> None:
        path = root / "cat" / "0.png"
        content = path.read_bytes()
        at = content.index(kind) - 4
        path.write_bytes(content[:at] + b"\0\0\0\x05" + content[at + 4:])
    return damage


@pytest.mark.parametrize(("damage", "message"), [
    (nothing, "a sub-folder for every class, but '.*' has none"),
    (lambda root: shutil.rmtree(root / "dog"), "at least 2 classes, but '.*' has 1: cat"),
    (lambda root: (root / "eel").mkdir(), "must hold images, but '.*eel' is empty"),
    (lambda root: (root / "cat" / "x.webp").write_bytes(b""), r"images only \(\.png, .*\), but has '.*cat/x\.webp'"),
    (lambda root: (root / "cat" / "x.png").mkdir(), r"images only \(\.png, .*\), but has '.*cat/x\.png'"),
    (lambda root: (root / "cat" / "x.png").write_bytes(b"no image"), r"intact PNG or JPEG file, but '.*cat/x\.png'"),
    (lambda root: picture(0).save(root / "cat" / "x.png", format="GIF"), r"intact PNG or JPEG file, but '.*x\.png'"),
    (truncated("x.png"), r"intact PNG or JPEG file, but '.*cat/x\.png' is not"),
    (shortened_chunk(b"IHDR"), r"intact PNG or JPEG file, but '.*cat/0\.png' is not"),
    (shortened_chunk(b"IDAT"), r"intact PNG or JPEG file, but '.*cat/0\.png' is not: broken PNG file"),
    (truncated("x.jpg"), r"intact PNG or JPEG file, but '.*cat/x\.jpg' is not: image file is truncated"),
    (lambda root: [path.unlink() for path in (root / "dog").glob("[2-9].png")],
     "at least 3 images to be split into 3 parts, but 'dog' has 2"),
])
def test_a_wrong_folder_is_refused(tmp_path: Path, damage, message: str) -> None:
    damage(fill(tmp_path))
    with pytest.raises(InvalidInput, match=message):
        load_dataset(str(tmp_path))


@pytest.mark.parametrize(("damage", "message"), [
    (lambda root: fill(root / "test", ("cat", "eel")), "must have training images, but 'eel' in the test part of '.*'"),
    (lambda root: fill(root / "val", ("owl",)), "must have training images, but 'owl' in the validation part of '.*'"),
    (lambda root: (root / "test").mkdir(), "every part must hold images, but '.*test' has none"),
    (lambda root: [fill(root / name) for name in ("val", "validation")], "one validation part, but '.*' has val/ and"),
    (lambda root: fill(root / "valid"), r"may have val/ \(or validation/\) and test/, but '.*' has valid/"),
])
def test_wrong_parts_are_refused(tmp_path: Path, damage, message: str) -> None:
    fill(tmp_path / "train")
    damage(tmp_path)
    with pytest.raises(InvalidInput, match=message):
        load_dataset(str(tmp_path))

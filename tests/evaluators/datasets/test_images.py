import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evaluators.datasets.images import FORMATS, is_image, read_images

GENERATOR = np.random.default_rng(0)


def noise(low: int, high: int, dtype: type = np.uint8) -> np.ndarray:
    return GENERATOR.integers(low, high, (8, 8)).astype(dtype)


def saved(folder: Path, *images: Image.Image, suffix: str = "png") -> list[Path]:
    paths = [folder / f"{index}.{suffix}" for index in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    return paths


@pytest.mark.parametrize(("low", "high", "dtype", "suffix"), [
    (0, 4096, np.uint16, "png"), (700, 900, np.uint16, "png"), (0, 4096, np.uint16, "tif"),
    (0, 100_000, np.int32, "tif"), (-3, 12, np.float32, "tif")])
def test_values_of_more_than_8_bits_are_scaled_by_the_range_of_the_training_images(low, high, dtype, suffix, tmp_path):
    arrays = [noise(low, high, dtype) for _ in range(4)]
    paths = saved(tmp_path, *map(Image.fromarray, arrays), suffix=suffix)
    images = read_images({"test": paths[2:], "training": paths[:2]}, None)
    train = np.stack(arrays[:2]).astype(float)
    for part, chosen in (("training", arrays[:2]), ("test", arrays[2:])):
        expected = (np.stack(chosen).astype(float) - train.min()) / np.ptp(train) * 255
        assert np.abs(images.pixels[part][..., 0] - expected.clip(0, 255)).max() <= 0.5 + 1e-6
    assert images.changes == (f"values {train.min():,.6g} to {train.max():,.6g}, the range of the training images, "
                              "scaled to 0 to 255",)


def test_images_of_8_bits_stay_as_they_are_beside_deeper_ones(tmp_path: Path) -> None:
    usual, deep = noise(0, 256), noise(0, 1000, np.uint16)
    images = read_images({"training": saved(tmp_path, Image.fromarray(usual), Image.fromarray(deep))}, None)
    assert np.array_equal(images.pixels["training"][0, ..., 0], usual)


@pytest.mark.parametrize("shade", [0, 255])
@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_a_shape_that_is_in_the_alpha_channel_only_is_seen(shade: int, mode: str, tmp_path: Path) -> None:
    alpha = np.where(noise(0, 2), 255, 0).astype(np.uint8)
    image = Image.merge("LA", [Image.new("L", (8, 8), shade), Image.fromarray(alpha)])
    if mode == "RGBA":
        image = image.convert("RGBA")
    if mode == "P":
        image = Image.fromarray(alpha // 255, mode="P")
        image.putpalette([128, 0, 0] + [shade] * 3)
        image.info["transparency"] = 0
    images = read_images({"training": saved(tmp_path, image)}, None)
    assert np.array_equal(images.pixels["training"][0, ..., 0], np.where(alpha, shade, 128))
    assert images.changes == ("transparency blended over grey 128",)


@given(st.integers(0, 255), st.integers(0, 255))
def test_transparency_blends_in_proportion(value: int, alpha: int) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (2, 2), (value, 0, 0, alpha)).save(file, format="PNG")
    with pytest.MonkeyPatch.context() as patch:
        opened = Image.open
        patch.setattr(Image, "open", lambda path, formats: opened(file, formats=formats))
        pixels = read_images({"training": [Path("x.png")]}, None).pixels["training"]
    assert abs(int(pixels[0, 0, 0, 0]) - (value * alpha + 128 * (255 - alpha)) / 255) <= 1


def test_opaque_images_with_an_alpha_channel_are_not_changed(tmp_path: Path) -> None:
    colours = GENERATOR.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    colours[..., 3] = 255
    images = read_images({"training": saved(tmp_path, Image.fromarray(colours))}, None)
    assert np.array_equal(images.pixels["training"][0], colours[..., :3]) and images.changes == ()


def test_the_first_image_of_an_animation_counts(tmp_path: Path) -> None:
    first, second = (Image.fromarray(noise(0, 256)) for _ in range(2))
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    images = read_images({"training": [tmp_path / "x.gif"]}, None)
    assert np.array_equal(images.pixels["training"][0, ..., 0], np.asarray(first))


def test_values_that_are_not_finite_are_told(tmp_path: Path) -> None:
    arrays = [np.full((8, 8), value, np.float32) for value in (1, np.nan)]
    paths = saved(tmp_path, *map(Image.fromarray, arrays), suffix="tif")
    assert read_images({"training": paths}, None).broken == {paths[1]: "it has values that are not finite"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(7072, 7072), (10_000, 10_000), (60_000, 60_000)])
def test_an_image_of_too_many_pixels_is_refused_by_its_header(size: tuple[int, int], tmp_path: Path) -> None:
    path, = saved(tmp_path, Image.new("L", (1, 1)), suffix="bmp")
    content = path.read_bytes()
    path.write_bytes(content[:18] + struct.pack("<2i", *size) + content[26:])
    assert is_image(path)
    reason = read_images({"training": [path]}, 8).broken[path]
    assert "megapixels, more than 50" in reason or "decompression bomb" in reason


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(FORMATS), st.data())
def test_whatever_is_wrong_with_a_file_is_noted(form: str, data: st.DataObject) -> None:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format=form)
    content = bytearray(file.getvalue()[:data.draw(st.integers(0, len(file.getvalue())))])
    for place in data.draw(st.lists(st.integers(0, max(len(content) - 1, 0)), max_size=8)):
        content[place:place + 1] = data.draw(st.binary(min_size=1, max_size=1))
    with pytest.MonkeyPatch.context() as patch:
        opened = Image.open
        patch.setattr(Image, "open", lambda path, formats: opened(io.BytesIO(bytes(content)), formats=formats))
        images = read_images({"training": [Path("x.png")]}, 8)
    assert images.pixels["training"].shape[:3] == (1, 8, 8)
    assert all("\n" not in reason and reason for reason in images.broken.values())


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("x.JPG", b"", True), ("x.heic", b"?", True), ("x.csv", b"a,b", False), ("x", b"", False),
    ("x.pdf", b"%PDF-1.4", False), ("x.ps", b"%!PS-Adobe-3.0 EPSF-3.0\n", False), ("x.bin", b"P6 1 1 255 abc", True),
])
def test_files_are_images_by_content_or_by_intent(name: str, content: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_image(tmp_path / name) == expected

import shutil
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
        image = Image.new("RGB", (10, 10), (seed, 0, 0))
        image.paste((0, 99, 0), (9, 9, 10, 10))  # elsewhere of one colour, which no resizing changes
        image.save(path)
    found = [load_dataset(str(tmp_path), resolution=resolution) for resolution in (None, 5, 17)]
    for data in found:
        assert data.validation.images[:, 0, 0, 0].tolist() == found[0].validation.images[:, 0, 0, 0].tolist()


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    fill(tmp_path, mode="L")
    Image.new("1", (10, 10), 1).save(tmp_path / "cat" / "0.png")
    Image.new("LA", (10, 10), (7, 255)).save(tmp_path / "cat" / "1.png")
    data = load_dataset(str(tmp_path))
    assert data.channels == 1
    every = np.concatenate([part.images for part in (data.train, data.validation, data.test)])
    assert sum((image == 255).all() for image in every) == 1 and sum((image == 7).all() for image in every) == 1


def test_one_colour_image_makes_all_rgb(tmp_path: Path) -> None:
    fill(tmp_path, mode="L")
    Image.new("RGB", (10, 10), (255, 0, 0)).quantize(2).save(tmp_path / "cat" / "0.png")
    Image.new("RGBA", (10, 10), (0, 255, 0, 255)).save(tmp_path / "cat" / "1.png")
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
    for shade, path in enumerate(tmp_path.glob("*/*")):
        turned = np.rot90(upright - np.uint8(shade) * (upright > 0))
        Image.fromarray(turned).save(path.with_suffix(".JPEG"), exif=exif, quality=95)
        path.unlink()
    data = load_dataset(str(tmp_path))
    assert np.abs(data.test.images.astype(int) - upright).max() < 20


def test_hidden_files_and_files_beside_the_classes_are_passed_over(tmp_path: Path) -> None:
    plain = load_dataset(str(fill(tmp_path))).fingerprint
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / ".thumbnail").write_bytes(b"")
    assert load_dataset(str(tmp_path)).fingerprint == plain


PART_FOLDERS = {"training": ("train", "training"), "validation": ("val", "valid", "validation"),
                "test": ("test", "testing")}
CASES = (str.lower, str.upper, str.title)


@settings(deadline=None, max_examples=25)
@given(st.fixed_dictionaries({part: st.tuples(st.sampled_from(names), st.sampled_from(CASES))
                              for part, names in PART_FOLDERS.items()}),
       st.sets(st.sampled_from(["validation", "test"])))
def test_parts_are_known_by_all_their_usual_names_in_any_case(names, missing: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for part, (name, case) in names.items():
            if part not in missing:
                fill(Path(folder) / case(name), count=6 + list(names).index(part))
        (Path(folder) / "annotations" / "xml").mkdir(parents=True)
        (Path(folder) / "annotations" / "xml" / "1.xml").write_text("<a/>")
        data = load_dataset(folder)
    assert data.classes == ("cat", "dog")
    for part in ("validation", "test"):
        assert (f"{part}: as given" in data.split) == (part not in missing)


@pytest.mark.parametrize("names", [("train", "test1"), ("Train", "Test"), ("train_images", "test_images"),
                                   ("training set", "validation-set"), ("trainset", "testset"), ("train",)])
def test_parts_without_class_folders_do_not_become_the_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        for index in range(6):
            picture(index).save(made(tmp_path / name) / f"{'cat' if index % 2 else 'dog'}.{index}.jpg")
    with pytest.raises(InvalidInput, match=f"sub-folder for every class, .* has .*{names[0]}/ with 6 images"):
        load_dataset(str(tmp_path))


def test_images_without_any_folder_are_counted(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "cat.png")
    with pytest.raises(InvalidInput, match="has 1 image and no class folders"):
        load_dataset(str(tmp_path))


def test_a_name_is_one_class_however_it_is_composed(tmp_path: Path) -> None:
    for part, form in (("train", "NFC"), ("val", "NFD"), ("test", "NFD")):
        fill(tmp_path / part, [unicodedata.normalize(form, name) for name in ("café", "thé", "über")], count=3)
    fill(tmp_path / "train", [unicodedata.normalize("NFD", "thé")], count=2)
    data = load_dataset(str(tmp_path))
    assert sorted(data.classes) == sorted(["café", "thé", "über"])
    counts = np.bincount(data.train.labels)
    assert counts[data.classes.index("thé")] == 5 and counts.sum() == 11
    assert parts(data) == (11, 9, 9)


OTHERS = {"Thumbs.db": b"\xd0\xcf\x11\xe0", "desktop.ini": b"[x]", "labels.csv": b"a,b", "notes.txt": b"GIF is not",
          "box.xml": b"<a/>", "README": b""}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(["cat", "dog"]), st.sampled_from(sorted(OTHERS))), unique=True))
def test_what_is_no_image_is_passed_over_and_counted(others: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = load_dataset(str(fill(Path(folder) / "pets")))
        for name, other in others:
            (Path(folder) / "pets" / name / other).write_bytes(OTHERS[other])
        data = load_dataset(f"{folder}/pets")
    assert (data.fingerprint, data.split) == (plain.fingerprint, plain.split)
    words = {0: "", 1: "1 file that is no image"}
    assert data.passed_over == words.get(len(others), f"{len(others)} files that are no images")
    assert data.summary == plain.summary + (f"; passed over: {data.passed_over}" if others else "")


def test_what_archives_leave_beside_the_images_is_passed_over(tmp_path: Path) -> None:
    plain = load_dataset(str(fill(tmp_path / "pets"))).fingerprint
    (made(tmp_path / "pets" / "__MACOSX" / "cat") / "._0.png").write_bytes(b"\0\5\x16\7")
    made(tmp_path / "pets" / "annotations")
    picture(1).save(tmp_path / "pets" / "overview.png")
    data = load_dataset(str(tmp_path / "pets"))
    assert data.fingerprint == plain
    assert data.passed_over == "1 image in no class folder, 2 folders without images"


FORMATS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif", "PPM": "ppm"}


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(FORMATS)), st.sampled_from([*FORMATS.values(), "JPG", "xyz", ""]), st.integers(0, 99))
def test_an_image_is_known_by_its_content_whatever_its_suffix(form: str, suffix: str, seed: int) -> None:
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(form, {})
    image = picture(seed, (2, 2)).resize((10, 10), Image.Resampling.NEAREST)  # four colours are for GIF and JPEG too
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), count=3)
        path = Path(folder) / "cat" / (f"x.{suffix}" if suffix else "x")
        image.save(path, format=form, **options)
        data = load_dataset(folder)
    every = np.concatenate([part.images for part in (data.train, data.validation, data.test)]).astype(int)
    assert len(every) == 7 and data.passed_over == ""
    nearest = np.abs(every - np.asarray(image)).mean(axis=(1, 2, 3)).min()
    assert nearest < 25 if form == "JPEG" else nearest == 0


def test_broken_images_are_reported_together(tmp_path: Path) -> None:
    fill(tmp_path, count=12)
    for index in range(7):
        (tmp_path / "dog" / f"{index}.png").write_bytes(b"")
    truncated("z.jpg")(tmp_path)
    with pytest.raises(InvalidInput) as error:
        load_dataset(str(tmp_path))
    assert "8 of 25 in" in str(error.value) and "--skip-broken leaves them out" in str(error.value)
    assert str(error.value).count("(") == 5 + 1 and "cat/z.jpg" in str(error.value), "five, one of them with two"
    assert "dog/3.png" in str(error.value) and "dog/4.png" not in str(error.value)


def test_broken_images_are_left_out_on_request_and_told_in_the_split_and_the_hash(tmp_path: Path) -> None:
    plain = load_dataset(str(fill(tmp_path, count=12)))
    assert load_dataset(str(tmp_path), skip_broken=True).fingerprint == plain.fingerprint
    picture(0, (40, 40)).save(tmp_path / "cat" / "z.png")  # another size, which does not count either
    content = (tmp_path / "cat" / "z.png").read_bytes()
    (tmp_path / "cat" / "z.png").write_bytes(content[:len(content) // 2])
    data = load_dataset(str(tmp_path), skip_broken=True)
    assert data.split == f"{plain.split}; 1 broken images skipped (cat/z.png)"
    assert data.resolution == 10 and np.array_equal(data.train.images, plain.train.images)
    (tmp_path / "cat" / "z.png").rename(tmp_path / "cat" / "y.png")
    assert len({plain.fingerprint, data.fingerprint, load_dataset(str(tmp_path), skip_broken=True).fingerprint}) == 3


@pytest.mark.parametrize(("folder", "message"), [
    ("train/cat", "every class must have intact training images, but those of cat in '.*' are all broken"),
    ("test/*", "every part must have intact images, but those of the test part of '.*' are all broken"),
])
def test_what_is_broken_as_a_whole_cannot_be_left_out(folder: str, message: str, tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path / part)
    for path in tmp_path.glob(f"{folder}/*"):
        path.write_bytes(b"")
    with pytest.raises(InvalidInput, match=message):
        load_dataset(str(tmp_path), skip_broken=True)


def test_data_that_were_accepted_before_have_the_fingerprint_of_then(tmp_path: Path) -> None:
    for seed, name in enumerate(("cat", "dog")):
        for index in range(8):
            pixels = np.random.default_rng((seed, index)).integers(0, 256, (9, 9, 4), dtype=np.uint8)
            pixels[..., 3], colour = 255, Image.fromarray(pixels[..., :3])
            image = {1: colour.quantize(16), 2: Image.fromarray(pixels), 3: colour.convert("L"), 4: colour.convert("1"),
                     5: Image.fromarray(pixels).convert("LA")}.get(index, colour)
            image.save(made(tmp_path / name) / f"{index}.png")
    assert load_dataset(str(tmp_path)).fingerprint == "d94f47bc675e6dc4"  # runs of 0.1.0 are resumed by it


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
    (nothing, "a sub-folder for every class, .* has 0 images and no class folders"),
    (lambda root: shutil.rmtree(root / "dog"), "at least 2 classes, but '.*' has 1: cat"),
    (lambda root: fill(root / "cat" / "young"), r"must hold its images itself, but '.*cat' has them in young$"),
    (lambda root: (root / "cat" / "x.webp").write_bytes(b""), r"intact PNG, .* but 1 of 13 .*: cat/x\.webp \("),
    (lambda root: (root / "cat" / "x.heic").write_bytes(b"?"), r"cat/x\.heic \(its content is of none of these"),
    (lambda root: (root / "cat" / "x.png").symlink_to(root / "gone"), r"cat/x\.png \(.*No such file"),
    (truncated("x.png"), r"but 1 of 13 .*: cat/x\.png"),
    (shortened_chunk(b"IHDR"), r"but 1 of 12 .*: cat/0\.png"),
    (shortened_chunk(b"IDAT"), r"cat/0\.png \(broken PNG file"),
    (truncated("x.jpg"), r"cat/x\.jpg \(image file is truncated"),
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
    (lambda root: (root / "test").mkdir(), "for every class, but '.*test' has no images"),
    (lambda root: (root / "test" / "cat").mkdir(parents=True), "for every class, but '.*test' has no images"),
    (lambda root: [picture(n).save(made(root / "test") / f"{n}.png") for n in range(3)],
     "for every class, but '.*test' has 3 images but no classes"),
    (lambda root: [fill(root / name) for name in ("val", "valid")], "one validation part, .* has val/ and valid/"),
    (lambda root: fill(root / "Train"), "one training part, but '.*' has Train/ and train/"),
    (lambda root: fill(root / "extra"), r"may have val/ \(or valid/, validation/\) and test/, but '.*' has extra/"),
])
def test_wrong_parts_are_refused(tmp_path: Path, damage, message: str) -> None:
    fill(tmp_path / "train")
    damage(tmp_path)
    with pytest.raises(InvalidInput, match=message):
        load_dataset(str(tmp_path))

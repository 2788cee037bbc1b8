import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluators.datasets import DATASETS, load_dataset
from search_spaces.errors import InvalidInput


@pytest.mark.parametrize("name", DATASETS)
def test_every_named_data_set_loads(name: str) -> None:
    data = load_dataset(name)
    assert data.name == name
    for part in (data.train, data.validation, data.test):
        assert part.images.dtype == np.uint8 and part.labels.dtype == np.int32
        assert part.images.shape == (len(part), data.resolution, data.resolution, data.channels)
        assert set(part.labels.tolist()) == set(range(len(data.classes)))


def test_a_named_data_set_can_be_resized() -> None:
    full, small = load_dataset("fashion-mnist", seed=5), load_dataset("fashion-mnist", seed=5, resolution=14)
    assert small.test.images.shape == (2000, 14, 14, 1)
    np.testing.assert_array_equal(small.validation.labels, full.validation.labels)
    np.testing.assert_allclose(small.mean, full.mean, atol=2e-3)
    assert (small.std < full.std).all(), "averaging takes contrast away"


def test_an_unknown_name_lists_the_known_ones_and_the_forms() -> None:
    with pytest.raises(InvalidInput, match=r"did you mean 'fashion-mnist'\? known: fashion-mnist, or an existing path: "
                                           r"a \.npz file, a folder of MNIST's IDX files, or a folder with"):
        load_dataset("fashion-mnst")


@pytest.mark.parametrize("path", ["no/such/folder", "missing.npz"])
def test_a_path_that_is_not_there_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match=f"unknown data set '{path}'; known: fashion-mnist, or an existing path"):
        load_dataset(path)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(InvalidInput, match=r"data must be a \.npz file, .* but got '.*data\.csv'"):
        load_dataset(str(tmp_path / "data.csv"))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(InvalidInput, match=r"data must be readable, but got '.*': .*Permission denied"):
        load_dataset(str(tmp_path))


def test_the_package_needs_neither_jax_nor_pillow_until_images_change() -> None:
    code = ("import sys; from evaluators.datasets import load_dataset; load_dataset('fashion-mnist'); "
            "print([name for name in ('jax', 'flax', 'PIL', 'optuna') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[3])
    assert done.stdout.strip() == "[]"

import numpy as np
import pytest
from PIL import Image

import evaluators.training.logistic_regression
import nas.export.certificate
from evaluators.latency import Latency


@pytest.fixture
def untimed(monkeypatch):
    """Every file takes a millisecond, and logistic regression no time."""
    monkeypatch.setattr(evaluators.training.logistic_regression, "easy_accuracy", lambda dataset: 0.5)
    monkeypatch.setattr(nas.export.certificate, "measure_once",
                        lambda *arguments, **named: Latency(1.0, 0.99, 1.01, 1.0, 10, 0.1, 0.1, 0.1, 0.0))


@pytest.fixture
def data(inputs):
    return str(inputs / "data.npz")


@pytest.fixture
def photos(tmp_path):
    """A folder of images sorted by class: four classes, bars of another width and direction, of another brightness."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 60), ("val", 20), ("test", 60)):
        for label in range(4):
            directory = tmp_path / "photos" / part / "abcd"[label]
            directory.mkdir(parents=True)
            for index in range(count):
                image = generator.integers(0, 60, (12, 12)) + 10 * label
                place = generator.integers(2, 8)
                bar = (slice(None), slice(place, place + 2)) if label % 2 else (slice(place, place + 2), slice(None))
                image[bar] += 60 + 60 * (label // 2)
                Image.fromarray(image.astype(np.uint8)).save(directory / f"{index}.png")
    return str(tmp_path / "photos")

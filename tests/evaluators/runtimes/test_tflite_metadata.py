"""The metadata of LiteRT files, read by MediaPipe, which is no dependency: `pip install mediapipe` for these tests."""

import json
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from evaluators.runtimes import RUNTIMES
from evaluators.runtimes.tflite_metadata import NAME, tflite_metadata
from search_spaces import Architecture

LITERT = RUNTIMES["litert"]
MEAN, STD, PER_CHANNEL = [0.4] * 3, [0.25] * 3, [0.4, 0.45, 0.5]


def written(path, random_arrays, mean=MEAN, std=STD, inside=False):
    architecture = Architecture.parse("in_r12_c3+conv_k3_c8_s2_relu+head_c8_relu_n3")
    texts = {"architecture": architecture.text, "classes": json.dumps(["cat", "dog", "fox"]),
             "mean": json.dumps(mean), "std": json.dumps(std), "preprocessing": "as it is"}
    LITERT.write(architecture, random_arrays(architecture.program, 0), path, texts, inside=inside)
    return path


def metadata_of(path):
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    buffers = {model.Metadata(index).Name().decode(): model.Metadata(index).Buffer()
               for index in range(model.MetadataLength())}
    return model.Buffers(buffers[NAME]).DataAsNumpy().tobytes()


def read_by_mediapipe(path):
    reason = "needs MediaPipe: pip install mediapipe"
    generated = pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated", reason=reason)
    return generated.ModelMetadataT.InitFromObj(generated.ModelMetadata.GetRootAs(metadata_of(path), 0))


def test_a_file_has_metadata_labels_and_a_signature(tmp_path, random_arrays):
    path = written(tmp_path / "model.tflite", random_arrays)
    assert metadata_of(path)[4:8] == b"M001"
    assert zipfile.ZipFile(path).read("labels.txt") == b"cat\ndog\nfox"
    images = np.ones((1, 12, 12, 3), np.float32)
    run = Interpreter(str(path)).get_signature_runner("serving_default")
    assert run(image=images)["logits"].shape == (1, 3)


def test_where_nothing_is_told_of_images_there_are_none():
    assert tflite_metadata("image", "logits", 3, {"architecture": "in_r8_c3"}, False) == b""


@pytest.mark.parametrize("inside", [False, True])
def test_the_schema_of_others_reads_normalisation_colours_and_labels(inside, tmp_path, random_arrays):
    found = read_by_mediapipe(written(tmp_path / "model.tflite", random_arrays, PER_CHANNEL, inside=inside))
    (graph,) = found.subgraphMetadata
    (image,), (logits,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert (image.name, image.content.contentProperties.colorSpace, logits.name) == (b"image", 1, b"logits")
    (normalisation,) = image.processUnits
    bounds = np.array([0, 255])
    expected = bounds[:, None] if inside else (bounds[:, None] / 255 - PER_CHANNEL) / STD
    mean, std = normalisation.options.mean, normalisation.options.std
    np.testing.assert_allclose((bounds[:, None] - mean) / std, expected, rtol=1e-6)
    np.testing.assert_allclose([image.stats.min, image.stats.max], expected, rtol=1e-6)
    (labels,) = logits.associatedFiles
    assert (labels.name, labels.type) == (b"labels.txt", 2)


@pytest.mark.parametrize(("mean", "inside"), [(MEAN, False), (MEAN, True), (PER_CHANNEL, True)])
def test_mediapipe_classifies_as_the_file_does(mean, inside, tmp_path, random_arrays):
    mediapipe = pytest.importorskip("mediapipe", reason="needs MediaPipe: pip install mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    path = written(tmp_path / "model.tflite", random_arrays, mean, inside=inside)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    images = pixels if inside else ((pixels / 255 - mean) / STD).astype(np.float32)
    expected = Interpreter(str(path)).get_signature_runner()(image=images[None])["logits"][0]
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=str(path)))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        (found,) = classifier.classify(image).classifications
    scores = {category.category_name: category.score for category in found.categories}
    np.testing.assert_allclose([scores[name] for name in ("cat", "dog", "fox")], expected, rtol=1e-4, atol=1e-4)

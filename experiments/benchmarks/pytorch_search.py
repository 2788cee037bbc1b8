"""The search script that one would write with Optuna and PyTorch, to compare whole searches with.

    python -m experiments.benchmarks.pytorch_search MEMBERS.json 20 0.09 OUT.json

Members of `mobile`, given by their choices, are tried in order until so many are trained: each is exported by PyTorch's
legacy ONNX exporter, timed in ONNX Runtime on one core, skipped if it exceeds the budget (in ms), else trained for 3
epochs on the embedded data. Duplicates are reused. Images are resized once for each resolution.
"""

import functools
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import optuna
import torch

from evaluators.datasets import Dataset, load_dataset
from evaluators.recipe import Recipe
from experiments.benchmarks.pytorch_baseline import DEVICE, Images, network, train
from search_spaces import SPACES, Architecture

EPOCHS, RUNS, WARM_UP = 3, 200, 20


@functools.cache
def images(resolution: int) -> tuple[Images, Images]:
    """Returns training and validation images of a resolution."""
    data = dataset()
    moments = data.mean.tolist(), data.std.tolist()
    return (Images.put(data.train.images, data.train.labels, *moments, resolution),
            Images.put(data.validation.images, data.validation.labels, *moments, resolution))


@functools.cache
def dataset() -> Dataset:
    """Returns the embedded data."""
    return load_dataset("fashion-mnist")


def latency_ms(architecture: Architecture, directory: Path) -> float:
    """Returns the median latency of the untrained network in ONNX Runtime, one image on one core."""
    path, given = directory / "model.onnx", architecture.input
    image = torch.rand(1, given.channels, given.resolution, given.resolution)
    torch.onnx.export(network(architecture).eval().cpu(), (image,), str(path), dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: image.numpy()}
    seconds = []
    for _ in range(WARM_UP + RUNS):
        start = time.perf_counter()
        session.run(None, feed)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds[WARM_UP:]))


def main() -> None:
    """Runs the search."""
    members, wanted, budget_ms, out = json.loads(Path(sys.argv[1]).read_text()), *map(float, sys.argv[2:4]), sys.argv[4]
    data = dataset()
    space = SPACES["mobile"].bind(data.resolution, data.channels, len(data.classes))
    seen: dict[str, tuple[float, float]] = {}
    trained: dict[str, float] = {}  # and the seconds that it took

    with tempfile.TemporaryDirectory() as directory:
        def objective(trial: optuna.Trial) -> tuple[float, float]:
            architecture = space.decode(space.suggest(trial))
            if architecture.text not in seen:
                latency = latency_ms(architecture, Path(directory))
                accuracy = 0.0
                if latency <= budget_ms:
                    start = time.perf_counter()
                    accuracy = train(architecture, *images(architecture.input.resolution), Recipe(), EPOCHS)
                    trained[architecture.text] = time.perf_counter() - start
                seen[architecture.text] = accuracy, latency
                print(f"{len(trained):3} trained  {accuracy:.3f}  {latency:.4f} ms", flush=True)
            if len(trained) >= wanted:
                trial.study.stop()
            return seen[architecture.text]

        torch.manual_seed(0)
        study = optuna.create_study(storage=f"sqlite:///{directory}/study.db", directions=["maximize", "minimize"],
                                    sampler=optuna.samplers.RandomSampler(seed=0))
        for assignment in members:
            study.enqueue_trial(assignment)
        study.optimize(objective, n_trials=len(members))
    Path(out).write_text(json.dumps({"device": DEVICE, "trials": len(study.trials), "training_s": trained,
                                     "accuracy": {text: seen[text][0] for text in trained}}))


if __name__ == "__main__":
    main()

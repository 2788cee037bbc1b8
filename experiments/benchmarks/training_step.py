"""How long does a training step take, against PyTorch, plain Flax and the roofline of the machine?

    python -m experiments.benchmarks.training_step                 # all cases; recorded ones are not measured again
    python -m experiments.benchmarks.training_step --seconds 280   # no further case after so long
    python -m experiments.benchmarks.training_step --smoke         # compiles everything, keeps no figures

Six networks like MobileNetV2 of 6 to 17 blocks, three at 28 pixels and three at 32, are trained in batches of 64 and
128: by this project, by PyTorch (`pytorch_baseline.py`) and by plain Flax (`flax_baseline.py`), with the same data,
augmentation and optimizer. Each side is a process of its own; they take turns of steps within each case. Once the
processes run under the allocator settings of the `nas` command, once under the default ones. In the second case a
training of this project keeps its memory by itself (`evaluators/machine/memory.py`), so PyTorch is measured with that
too. The roofline is, for each convolution and dense layer, the longer one of its arithmetic at the speed of a large
matrix product and its unavoidable traffic at that of a large copy. Takes about 8 minutes with a warm compile cache and
as long again to fill that; run it alone on the machine. Expected: several times the speed of Flax, that of PyTorch or
more.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.machine.memory import HUGE_PAGES, TUNABLES
from evaluators.machine.ownership import CACHE, directory_of, make_own
from nas.run.environment import environment
from search_spaces import Architecture
from search_spaces.layers import Convolution, Dense

RESULT = Path(__file__).parents[1] / "results" / "training_step.json"


def network(start: str, *rows: str) -> str:
    """Returns a network in the notation; a row is `kernel expansion channels stride repeats` of its blocks."""
    tokens = [start]
    for kernel, expansion, channels, stride, repeats in map(str.split, rows):
        tokens += [f"mb_k{kernel}_e{expansion}_c{channels}_s{1 if index else stride}_se0_relu6"
                   for index in range(int(repeats))]
    return "+".join([*tokens, "head_c128_relu6_n10"])


STEM28, STEM32 = "in_r28_c1_symmetric+conv_k3_c16_s{}_relu6", "in_r32_c3_symmetric+conv_k3_c16_s{}_relu6"
TAIL = "3 6 64 2 4", "3 6 96 1 3", "3 6 160 1 3", "3 6 320 1 1"
NETWORKS = {  # expansion, channels and strides after MobileNetV2 (Sandler et al. 2018, table 2), for small images
    "28 px, 6 blocks": network(STEM28.format(2), "3 3 16 1 1", "3 3 24 2 2", "3 3 32 2 2", "3 3 48 2 1"),
    "28 px, 10 blocks": network(STEM28.format(2), "3 3 16 1 2", "5 6 24 2 2", "3 6 32 2 3", "5 6 64 1 3"),
    "28 px, 17 blocks": network(STEM28.format(1), "3 1 16 1 1", "3 6 24 2 2", "3 6 32 2 3", *TAIL),
    "32 px, 6 blocks": network(STEM32.format(2), "3 6 16 1 1", "5 6 24 2 2", "5 6 32 2 2", "3 6 64 1 1"),
    "32 px, 11 blocks": network(STEM32.format(1), "3 6 16 1 1", "3 6 24 2 2", "3 6 32 2 3", "3 6 64 2 3", "3 6 96 1 2"),
    "32 px, 17 blocks": network(STEM32.format(2), "3 1 16 1 1", "3 6 24 1 2", "3 6 32 2 3", *TAIL),
}
BATCHES = (64, 128)
SETTINGS = {"command": {TUNABLES: HUGE_PAGES}, "default": {}}
SIDES = {"command": ("ours", "pytorch", "flax"), "default": ("ours", "pytorch", "pytorch, memory kept", "flax")}
TURNS, TURN_S = {"flax": 2}, 0.5  # as many turns of about so many seconds, by default:
DEFAULT_TURNS = 7
IMAGES = 1024

Steps = Callable[[int], float]  # takes so many steps and returns seconds


def _timed(step: Callable[[np.ndarray], Any], batch: int, wait: Callable[[Any], Any]) -> Steps:
    generator = np.random.default_rng(0)

    def steps(count: int) -> float:
        batches = [generator.permutation(IMAGES)[:batch] for _ in range(count)]
        start = time.perf_counter()
        for chosen in batches:
            last = step(chosen)
        wait(last)
        return time.perf_counter() - start

    return steps


def _data(architecture: Architecture) -> tuple[np.ndarray, np.ndarray]:
    generator, given = np.random.default_rng(0), architecture.input
    images = generator.integers(0, 256, (IMAGES, given.resolution, given.resolution, given.channels), np.uint8)
    return images, generator.integers(0, architecture.classes, IMAGES)


def ours(architecture: Architecture, batch: int) -> Steps:
    """Returns the steps of this project, as `evaluators.training.train.train` takes them."""
    import jax
    import jax.numpy as jnp

    from evaluators.machine.memory import keep_memory
    from evaluators.networks.weights import initial_weights
    from evaluators.recipe import Recipe
    from evaluators.training.adamw import coefficients
    from evaluators.training.step import pack, training_step
    from evaluators.training.train import Images

    keep_memory()
    recipe, channels, resolution = Recipe(batch=batch), architecture.input.channels, architecture.input.resolution
    images, labels = map(jnp.asarray, _data(architecture))
    data = Images(images, labels, (0.5,) * channels, (0.5,) * channels)
    advance = training_step(architecture.program, recipe.optimizer, jax.default_backend() != "cpu")
    states = pack(architecture.program, *initial_weights(architecture.program, 0))
    draw, seeds = data.training_batches(resolution, recipe, architecture.classes), np.random.default_rng(0)

    def step(chosen: np.ndarray) -> jax.Array:
        nonlocal states
        x, y = draw(data.images, data.labels, chosen, seeds.integers(2**32))
        states, loss = advance(states, x, y, coefficients(recipe.optimizer, recipe.peak_rate, 1))
        return loss

    return _timed(step, batch, jax.block_until_ready)


def flax(architecture: Architecture, batch: int) -> Steps:
    """Returns the steps of plain Flax."""
    import jax
    import jax.numpy as jnp

    from evaluators.recipe import Recipe
    from evaluators.training.train import Images
    from experiments.benchmarks.flax_baseline import training_step

    cache = directory_of(CACHE) / "plain-flax"
    make_own(cache)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    moments = (0.5,) * architecture.input.channels
    images, labels = map(jnp.asarray, _data(architecture))
    data = Images(images, labels, moments, moments)
    return _timed(training_step(architecture, data, Recipe(batch=batch)), batch, jax.block_until_ready)


def pytorch(architecture: Architecture, batch: int) -> Steps:
    """Returns the steps of PyTorch."""
    import torch

    from evaluators.recipe import Recipe
    from experiments.benchmarks import pytorch_baseline as baseline

    moments = (0.5,) * architecture.input.channels
    data = baseline.Images.put(*_data(architecture), moments, moments, architecture.input.resolution)
    recipe = Recipe(batch=batch)
    advance = baseline.training_step(baseline.network(architecture), data, recipe)
    return _timed(lambda chosen: advance(torch.from_numpy(chosen).to(baseline.DEVICE), recipe.peak_rate), batch,
                  lambda loss: loss.item())


def pytorch_memory_kept(architecture: Architecture, batch: int) -> Steps:
    """Returns the steps of PyTorch in a process that keeps its memory."""
    from evaluators.machine.memory import keep_memory

    keep_memory()
    return pytorch(architecture, batch)


MAKERS = {"ours": ours, "pytorch": pytorch, "pytorch, memory kept": pytorch_memory_kept, "flax": flax}


def peak() -> dict[str, float]:
    """Returns the speed of a large matrix product in GFLOP/s and of a large copy in GB/s, read and written together."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 2048 if device == "cpu" else 8192
    left, right = (torch.rand(size, size, device=device) for _ in range(2))
    source, target = (torch.rand(64 * 2**20, device=device) for _ in range(2))

    def best_s(work: Callable[[], torch.Tensor]) -> float:
        seconds = []
        for _ in range(15):
            start = time.perf_counter()
            work()[:1, ...].sum().item()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    return {"gemm_gflop_per_s": 2 * size**3 / best_s(lambda: left @ right) / 1e9,
            "copy_gb_per_s": 2 * 4 * source.numel() / best_s(lambda: target.copy_(source)) / 1e9}


def floor_ms(architecture: Architecture, batch: int, machine: dict[str, float]) -> float:
    """Returns the least time of a step by the roofline model.

    A layer's forward pass and its two gradients are as many multiply-adds each. Forward, it reads its input and writes
    its output; backward it reads both again (the output's gradient) and writes the input's gradient.
    """
    seconds = 0.0
    for operation in architecture.program.operations:
        if isinstance(operation.layer, Convolution | Dense):
            read, written = (np.prod(shape) for shape in (operation.input_shapes[0], operation.output_shape))
            seconds += batch * max(6 * operation.macs / machine["gemm_gflop_per_s"],
                                   4 * (3 * read + 2 * written) / machine["copy_gb_per_s"]) / 1e9
    return 1e3 * seconds


class Worker:
    """A process that takes steps of one side when it is asked to."""

    def __init__(self, side: str, setting: str) -> None:
        """Starts the process."""
        plain = {name: value for name, value in os.environ.items() if name != TUNABLES}
        self._process = subprocess.Popen([sys.executable, "-m", __spec__.name, "--worker", side], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=plain | SETTINGS[setting])

    def ask(self, question: list[Any]) -> Any:
        """Returns the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def serve(side: str) -> None:
    """Answers: `["peak"]`, `["build", text, batch]` with the seconds of two steps, `["steps", count]`."""
    steps: Steps
    for line in sys.stdin:
        match json.loads(line):
            case ["peak"]:
                answer: Any = peak()
            case ["build", text, batch]:
                start = time.perf_counter()
                steps = MAKERS[side](Architecture.parse(text), batch)
                steps(1)
                answer = time.perf_counter() - start, steps(1)
            case ["steps", count]:
                answer = steps(count)
        print(json.dumps(answer), flush=True)


def case(workers: dict[str, Worker], text: str, batch: int, smoke: bool) -> dict[str, list[float]]:
    """Returns the milliseconds of a step in each turn of each side; the sides take turns."""
    counts = {}
    for side, worker in workers.items():
        _, step_s = worker.ask(["build", text, batch])
        counts[side] = 1 if side == "flax" or smoke else max(2, round(TURN_S / step_s))
    found: dict[str, list[float]] = {side: [] for side in workers}
    for turn in range(1 if smoke else DEFAULT_TURNS):
        for side, worker in workers.items():
            if turn < TURNS.get(side, DEFAULT_TURNS):
                found[side].append(round(1e3 * worker.ask(["steps", counts[side]]) / counts[side], 3))
    return found


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="Times training steps; see the docstring.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="time after which no case begins")
    parser.add_argument("--smoke", action="store_true", help="one step of each, to fill the compile cache")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(arguments.worker)
        return
    if importlib.util.find_spec("torch") is None:
        parser.error("steps are compared with PyTorch's, but it is not installed")
    deadline = time.monotonic() + arguments.seconds
    result = json.loads(RESULT.read_text()) if RESULT.exists() and not arguments.smoke else {"cases": []}
    done = {(row["setting"], row["network"], row["batch"]) for row in result["cases"]}
    for setting in SETTINGS if not arguments.smoke else ("command",):
        left = [(name, batch) for name in NETWORKS for batch in BATCHES if (setting, name, batch) not in done]
        if not left or time.monotonic() > deadline:
            continue
        workers = {side: Worker(side, setting) for side in SIDES[setting]}
        if "machine" not in result:
            result["machine"] = workers["pytorch"].ask(["peak"])
        for name, batch in left:
            if time.monotonic() > deadline:
                print(f"{len(left)} cases or fewer are left under the setting '{setting}'")
                break
            turns = case(workers, NETWORKS[name], batch, arguments.smoke)
            least = floor_ms(Architecture.parse(NETWORKS[name]), batch, result["machine"])
            print(f"{setting:8} {name:17} batch {batch:3}  floor {least:.1f} ms ",
                  *(f"{side} {np.median(values):.1f}" for side, values in turns.items()), flush=True)
            result["cases"].append({"setting": setting, "network": name, "batch": batch, "floor_ms": round(least, 3),
                                    "ms": turns})
            if not arguments.smoke:
                result["environment"] = environment()
                write_whole(RESULT, (json.dumps(result) + "\n").encode())
        for worker in workers.values():
            worker.close()


if __name__ == "__main__":
    main()

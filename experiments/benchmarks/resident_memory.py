"""How much does the resident memory of a search grow with the number of distinct architectures?

    python -m experiments.benchmarks.resident_memory                    # settings that are recorded are not run again
    python -m experiments.benchmarks.resident_memory --candidates 40    # fewer, keeps no figures
    python -m experiments.benchmarks.resident_memory --setting default  # one of: command, default

300 different random members of `mobile` are trained one after the other in one process, for two steps and a validation
each, with an empty compile cache at the beginning: once under the allocator settings of the `nas` command, once under
the default ones. Nothing is cleared that a search would not clear. 10 minutes each on two cores, nearly all of them for
compilation; nothing is timed, so other work beside it does no harm. Expected: less than 300 MB more after the last
candidate than after the fifth.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from evaluators.datasets import Dataset, load_dataset
from evaluators.datasets.dataset import Split
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.machine.memory import TUNABLES
from evaluators.recipe import Recipe
from experiments.benchmarks.training_step import SETTINGS
from nas.measuring.survey import members
from nas.run.environment import environment
from search_spaces import SPACES, Architecture

RESULT = Path(__file__).parents[1] / "results" / "resident_memory.json"
CANDIDATES, SEED, BEGINNING = 300, 3, 5
BATCH, BATCHES = 64, 2


def resident_mb() -> float:
    """Returns the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def brief_data() -> Dataset:
    """Returns the embedded data with images for `BATCHES` steps of training and one batch of validation."""
    data = load_dataset("fashion-mnist", seed=SEED)
    train, validation = (Split(part.images[:size], part.labels[:size])
                         for part, size in ((data.train, BATCHES * BATCH), (data.validation, BATCH)))
    return dataclasses.replace(data, train=train, validation=validation)


def random_networks(count: int) -> list[Architecture]:
    """Returns different random members of `mobile` for the embedded data."""
    space = SPACES["mobile"].bind(28, 1, 10)
    return [space.decode(assignment) for assignment in members(space, count, SEED)]


def train_all(count: int) -> None:
    """Trains `count` candidates; prints `[candidates, MB]` before the first, after the fifth and after each tenth."""
    from evaluators.training.train import evaluate

    data, networks = brief_data(), random_networks(count)
    shown = {BEGINNING, *(round(count * tenth / 10) for tenth in range(1, 11))}
    print(json.dumps([0, resident_mb()]), flush=True)
    for number, architecture in enumerate(networks, 1):
        evaluate(architecture, data, Fidelity(Recipe(1, BATCH, seed=SEED)))
        if number in shown:
            print(json.dumps([number, resident_mb()]), flush=True)


def measure(setting: str, count: int) -> list[list[float]]:
    """Returns the output of `train_all` in a process of its own, under the allocator settings of a name."""
    plain = {name: value for name, value in os.environ.items() if name != TUNABLES}
    found = []
    with tempfile.TemporaryDirectory() as cache:
        process = subprocess.Popen([sys.executable, "-m", __spec__.name, "--worker", "--candidates", str(count)],
                                   stdout=subprocess.PIPE, text=True,
                                   env=plain | SETTINGS[setting] | {"XDG_CACHE_HOME": cache})
        assert process.stdout is not None
        for line in process.stdout:
            found.append(json.loads(line))
            print(f"{setting:8} {found[-1][0]:3} candidates  {found[-1][1]:5.0f} MB", flush=True)
        if process.wait():
            raise RuntimeError(f"the training process ended with status {process.returncode}")
    return found


def growth_mb(resident: list[list[float]]) -> float:
    """Returns the growth of the memory, in MB, from the fifth candidate to the last."""
    return resident[-1][1] - next(mb for count, mb in resident if count == BEGINNING)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="Records resident memory; see the docstring.")
    parser.add_argument("--setting", choices=SETTINGS, help="only this one, whether it is recorded or not")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="figures are kept of the default only")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        train_all(arguments.candidates)
        return
    result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {"resident_mb": {}}
    for setting in SETTINGS:
        if arguments.setting not in (None, setting) or (setting in result["resident_mb"] and not arguments.setting):
            continue
        found = measure(setting, arguments.candidates)
        print(f"{setting:8} grown by {growth_mb(found):.0f} MB since candidate {BEGINNING}", flush=True)
        if arguments.candidates == CANDIDATES:
            result["resident_mb"][setting] = [[count, round(mb, 1)] for count, mb in found]
            result["environment"] = environment()
            write_whole(RESULT, (json.dumps(result) + "\n").encode())


if __name__ == "__main__":
    main()

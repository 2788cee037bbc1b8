"""How long does a candidate wait for the compiler, as a search goes on?

    python -m experiments.benchmarks.compilation                 # runs that are recorded are not measured again
    python -m experiments.benchmarks.compilation --run second    # needs what the first has compiled
    python -m experiments.benchmarks.compilation --candidates 3 --network-from 2    # fewer, keeps no figures

Different random members of `mobile` are trained one after the other, compiled in blocks; the later ones in turn with
another process that compiles whole networks. The first run begins with an empty cache. The second one is the same in
new processes, which find on disk what the first ones have compiled. What counts is by how much the first training of a
candidate (two steps and a validation) takes longer than another one of it in the same process: all of tracing,
lowering, compiling, writing and loading. Starting a process (imports, JAX and its device, data) is not compilation and
is shown on its own. Beside it stands how many blocks, and pieces that are compiled at a time, no earlier candidate had.

Takes 6 minutes and 1 on two cores; run it alone on the machine. Expected: from candidate 21 on, at most a third of what
whole networks take in the first run, and 0.5 s in the second one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.recipe import BLOCKS, NETWORK, Recipe
from evaluators.training.partition import cut
from experiments.benchmarks.resident_memory import BATCH, SEED, brief_data, random_networks
from nas.run.environment import environment
from search_spaces import Architecture

RESULT = Path(__file__).parents[1] / "results" / "compilation.json"
CACHE = Path(tempfile.gettempdir()) / f"compilation-{os.getuid()}"
RUNS = ("first", "second")
CANDIDATES, NETWORK_FROM = 40, 21
BEGINNING = 5


class Trainer:
    """A process that trains networks on request, in blocks or as a whole."""

    def __init__(self, compile: str) -> None:
        """Starts the process, and notes how long that takes in `start_s`."""
        start = time.perf_counter()
        self._process = subprocess.Popen([sys.executable, "-m", __spec__.name, "--worker", compile], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         env=os.environ | {"XDG_CACHE_HOME": str(CACHE)})
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.start_s = time.perf_counter() - start

    def compile_s(self, text: str) -> float:
        """Returns the seconds by which the first training of an architecture takes longer than the second."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(text, file=self._process.stdin, flush=True)
        first_s, again_s = json.loads(self._process.stdout.readline())
        return float(first_s - again_s)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def serve(compile: str) -> None:
    """Answers each text of an architecture with the seconds of a first and of a second training."""
    import jax

    from evaluators.training.train import evaluate

    data, fidelity = brief_data(), Fidelity(Recipe(1, BATCH, compile=compile, seed=SEED))
    print(json.dumps(str(jax.devices())), flush=True)
    for line in sys.stdin:
        architecture, times = Architecture.parse(line.strip()), [time.perf_counter()]
        for _ in range(2):
            evaluate(architecture, data, fidelity)
            times.append(time.perf_counter())
        print(json.dumps(list(np.diff(times))), flush=True)


def unseen(networks: list[Architecture]) -> dict[str, list[int]]:
    """Returns the numbers of distinct blocks and pieces of each network that no network before it had."""
    found: dict[str, list[int]] = {"blocks": [], "pieces": []}
    known: dict[str, set[Any]] = {kind: set() for kind in found}
    for network in networks:
        parts: dict[str, set[Any]] = {"blocks": set(network.block_programs),
                                      "pieces": {use.piece for use in cut(network.program)}}
        for kind, own in parts.items():
            found[kind].append(len(own - known[kind]))
            known[kind] |= own
    return found


def measure(run: str, networks: list[Architecture], network_from: int) -> dict[str, Any]:
    """Returns the seconds of each side for each candidate; whole networks begin with candidate `network_from`."""
    if run == "first":
        shutil.rmtree(CACHE, ignore_errors=True)
    elif not CACHE.is_dir():
        raise RuntimeError(f"the second run finds what the first has compiled, but '{CACHE}' is gone")
    trainers = {side: Trainer(side) for side in (BLOCKS, NETWORK)}
    new = unseen(networks)
    seconds: dict[str, list[float]] = {side: [] for side in trainers}
    for number, network in enumerate(networks, 1):
        for side, trainer in trainers.items():
            if side == BLOCKS or number >= network_from:
                seconds[side].append(round(trainer.compile_s(network.text), 3))
        whole = f"{seconds[NETWORK][-1]:8.2f} s as a whole" if number >= network_from else ""
        print(f"{run:6} candidate {number:2}  unseen: {new['blocks'][number - 1]:2} blocks, "
              f"{new['pieces'][number - 1]:2} pieces {seconds[BLOCKS][-1]:8.2f} s {whole}", flush=True)
    for trainer in trainers.values():
        trainer.close()
    return {"seconds": seconds, "start_s": {side: round(trainer.start_s, 3) for side, trainer in trainers.items()}}


def summary(run: dict[str, Any], network_from: int) -> str:
    """Returns the figures of a run in lines."""
    blocks, network = run["seconds"][BLOCKS], run["seconds"][NETWORK]
    later = blocks[network_from - 1:]
    return (f"candidates 1-{BEGINNING}: {', '.join(f'{value:.2f}' for value in blocks[:BEGINNING])} s\n"
            f"from candidate {network_from}: mean {np.mean(later):.2f} s, median {np.median(later):.2f} s; whole "
            f"networks {np.mean(network):.2f} s and {np.median(network):.2f} s; ratio of the means "
            f"{np.mean(later) / np.mean(network):.3f}, of the medians {np.median(later) / np.median(network):.3f}\n"
            f"start of the process: {run['start_s'][BLOCKS]:.2f} s")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="Times compilation; see the docstring.")
    parser.add_argument("--run", choices=RUNS, help="only this one, whether it is recorded or not")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="figures are kept of the default only")
    parser.add_argument("--network-from", type=int, default=NETWORK_FROM, help="the same")
    parser.add_argument("--worker", choices=(BLOCKS, NETWORK), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(arguments.worker)
        return
    result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {"runs": {}}
    networks = random_networks(arguments.candidates)
    kept = (arguments.candidates, arguments.network_from) == (CANDIDATES, NETWORK_FROM)
    for run in RUNS:
        if arguments.run not in (None, run) or (run in result["runs"] and kept and not arguments.run):
            continue
        found = measure(run, networks, arguments.network_from)
        print(summary(found, arguments.network_from), flush=True)
        if kept:
            result["runs"][run] = found
            result |= {"unseen": unseen(networks), "environment": environment()}
            write_whole(RESULT, (json.dumps(result) + "\n").encode())


if __name__ == "__main__":
    main()

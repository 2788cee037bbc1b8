"""How many candidates an hour does a whole search train, against a script of Optuna and PyTorch?

    python -m experiments.benchmarks.whole_search                  # sides that are recorded are not measured again
    python -m experiments.benchmarks.whole_search --side pytorch   # one of `SIDES`

The same random members of `mobile` are tried in the same order under a budget of the latency in ONNX Runtime, until 40
have been trained for 3 epochs on the embedded data (batch 64): by `nas search` with an empty compile cache, by the same
command again with that cache filled by the first, both with one worker and with two, and by `pytorch_search.py`, whose
one process uses all cores. A side takes 3 to 10 minutes, beginning and end of its process included; run it alone on the
machine. Expected on 2 cores, with two workers: as many candidates an hour as the script with an empty cache, and 1.5
times as many with a warm one.
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

from evaluators.machine.files import write_whole
from nas.api import Run
from nas.measuring.survey import members
from nas.run.environment import environment
from search_spaces import SPACES

RESULT = Path(__file__).parents[1] / "results" / "whole_search.json"
CACHE = Path(tempfile.gettempdir()) / f"whole-search-{os.getuid()}"  # of compiled programs, for both sides of ours
SIDES = {"2 workers, cold": 2, "2 workers, warm": 2, "1 worker, cold": 1, "1 worker, warm": 1, "pytorch": 0}  # workers
MEMBERS, SEED, TRAINED, BUDGET_MS = 300, 3, 40, 0.12


def ours(side: str, trained: int, directory: Path) -> dict[str, Any]:
    """Returns the result of a search with the command."""
    if side.endswith("cold"):
        shutil.rmtree(CACHE, ignore_errors=True)
    space = SPACES["mobile"].bind(28, 1, 10)
    texts = [space.decode(assignment).text for assignment in members(space, MEMBERS, SEED)]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "from nas.cli import main; main()", "search", "--space", "mobile",
                    "--latency", f"{BUDGET_MS}ms", "--start", ",".join(texts), "--strategy", "random",
                    "--trials", str(trained), "--workers", str(SIDES[side]), "--run", str(directory / "run")],
                   check=True, env=os.environ | {"XDG_CACHE_HOME": str(CACHE)})
    seconds = time.perf_counter() - start
    found = Run.open(directory / "run").candidates()
    return {"seconds": seconds, "trials": len(found),
            "accuracy": {one.architecture: one.accuracy for one in found if one.trained}}


def pytorch(trained: int, directory: Path) -> dict[str, Any]:
    """Returns the result of a search with the script."""
    space = SPACES["mobile"].bind(28, 1, 10)
    (directory / "members.json").write_text(json.dumps(members(space, MEMBERS, SEED), default=lambda x: x.item()))
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "experiments.benchmarks.pytorch_search", str(directory / "members.json"),
                    str(trained), str(BUDGET_MS), str(directory / "out.json")], check=True)
    return {"seconds": time.perf_counter() - start, **json.loads((directory / "out.json").read_text())}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="Times whole searches; see the docstring.")
    parser.add_argument("--side", choices=SIDES, help="only this one, whether it is recorded or not")
    parser.add_argument("--trained", type=int, default=TRAINED, help="figures are kept of the default only")
    arguments = parser.parse_args()
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"sides": {}}
    for side in SIDES:
        if arguments.side not in (None, side) or (side in result["sides"] and not arguments.side):
            continue
        with tempfile.TemporaryDirectory() as directory:
            found = (pytorch(arguments.trained, Path(directory)) if side == "pytorch" else
                     ours(side, arguments.trained, Path(directory)))
        count = len(found["accuracy"])
        found["candidates_per_hour"] = 3600 * count / found["seconds"]
        result["sides"][side] = found
        print(f"{side}: {count} candidates in {found['seconds']:.0f} s, {found['candidates_per_hour']:.0f} an hour, "
              f"accuracy {np.mean(list(found['accuracy'].values())):.3f} in the mean", flush=True)
        if arguments.trained == TRAINED:
            result["environment"] = environment()
            write_whole(RESULT, (json.dumps(result) + "\n").encode())


if __name__ == "__main__":
    main()

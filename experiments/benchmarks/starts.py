"""How long do the commands take that only show something?

    python -m experiments.benchmarks.starts

Each command is a process of its own, in turns: `nas --help`, `nas zoo`, `nas show` of a published network and of a run,
and `nas pareto` of the same run, which is a search of 60 candidates in a table. Reported are medians of the CPU time,
which other processes hardly change, and of the time that a user waits. The bars: 0.4 s
of CPU for help, 1 s for the others. About a minute. Results: `experiments/results/starts.json`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evaluators.machine.files import write_whole
from nas.run.environment import environment

RESULTS = Path(__file__).parents[1] / "results" / "starts.json"
SEARCH = ("search", "--data", "table:learning-curves", "--objectives", "accuracy,macs", "--trials", "60")
RUN = "run"
COMMANDS = ("--help", "zoo", "show mobilenet_v3_small", f"show {RUN}", f"pareto {RUN}")
BARS_S = {command: 0.4 if command == "--help" else 1.0 for command in COMMANDS}
ROUNDS = 9


def seconds_of(command: str, directory: Path) -> tuple[float, float]:
    """Returns the CPU time and the time on the clock of a command in a process of its own, in seconds."""
    began_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "nas.cli", *command.split()], cwd=directory,
                               stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"`nas {command}` has ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began_s


def main() -> None:
    """Times the commands in turns, and writes their results."""
    argparse.ArgumentParser(description="Times commands that show something; see the docstring.").parse_args()
    found: dict[str, list[tuple[float, float]]] = {command: [] for command in COMMANDS}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        subprocess.run([sys.executable, "-m", "nas.cli", *SEARCH, "--run", RUN], cwd=directory, check=True,
                       stdout=subprocess.DEVNULL)
        for turn in range(ROUNDS + 1):
            for command, timings in found.items():
                timing = seconds_of(command, directory)
                timings += [timing] if turn else []  # the first compiles modules and fills the disk's cache
    medians = {f"nas {command}": {side: round(statistics.median(values), 3) for side, values in zip(
        ("cpu_s", "wall_s"), zip(*timings, strict=True), strict=True)} for command, timings in found.items()}
    write_whole(RESULTS, (json.dumps({"medians": medians, "rounds": ROUNDS, "environment": environment()}, indent=1)
                          + "\n").encode())
    for command, own in medians.items():
        missed = "  MISSED" if own["cpu_s"] > BARS_S[command.removeprefix("nas ")] else ""
        print(f"{command:30} {own['cpu_s']:.2f} s of CPU, {own['wall_s']:.2f} s{missed}")


if __name__ == "__main__":
    main()

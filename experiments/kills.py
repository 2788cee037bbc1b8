"""Processes that are killed at random moments: does a study lose a trial, count one twice, or come to another end?

    python -m experiments.kills                                 # 1,000 kills; goes on where it was stopped
    python -m experiments.kills --kills 100 --storages postgresql --cases training

Study after study is searched in by four workers, one or all of which get `kill -9` at random moments and are started
again, until the study ends. After every kill it must be readable, with all that was told before; at its end as many
architectures must have been trained as were asked for, each once, with no trial left running, no more trials lost than
were in flight, no process left behind and no file that is not the study's. Evaluators are functions of the
architecture, a table, or real trainings; trials are in a run directory (SQLite) or in PostgreSQL. In `outage` the
server is stopped and started instead, and in `one worker` the trials are compared with those of one that nobody kills.
A candidate that was killed with its worker twice is given up, as it should be.

Some 4 s for each kill on a core. Results: `experiments/results/kills.json`.
"""

import argparse
import collections
import itertools
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from evaluators.datasets import Dataset
from evaluators.evaluator import Fidelity, Score
from evaluators.machine.files import write_whole
from evaluators.machine.ownership import temporary_directory
from experiments.commands import Command, orphans
from experiments.postgresql import Server, running
from nas.problem.candidate import Candidate, Outcome
from nas.run.directory import RunDirectory
from nas.run.environment import environment
from nas.run.server import GRACE, StudyDatabase
from nas.trials.tally import tally
from search_spaces import load_space
from search_spaces.architecture import Architecture

RESULTS = Path(__file__).with_name("results") / "kills.json"
EVERY_WORKER = 0.25  # the share of kills that hit all of them
KEPT = {"run.toml", "study.db", ".lock", ".turn", ".end", "weights", "checkpoints", "evaluator"}
KILLED_TWICE = "its worker died"  # why a candidate is not tried again
OF_A_LIBRARY = ".ses"  # ONNX Runtime makes it where temporary files are
STUDY = "kills"
KILLS = 12  # of a study, at most
GRACE_S = 6.0  # without a heartbeat a worker counts as dead, tenfold sooner than for users
BEGINS_S = 1.0
OUTAGE_S = 3.0
ENDS_WITHIN_S = 300.0
TIMED = 40  # rows of the table of latencies
SPACE = """\
scale = "scale_w0.5/0.75/1"
stages = ["conv_k3_c8/16_s2_relu", "mb_k3/5_e2/3_c8/16_s1_se0/0.25_relu_x1/2", "head_c16/32_relu"]
"""
FAULTS = ("doubled", "left running", "missing", "unreadable", "changed", "orphans", "files left", "ended badly",
          "other trials")
COUNTED = ("studies", "kills", "processes", "outages", "trials", "lost", "given up", *FAULTS)


@dataclass(frozen=True)
class Case:
    """One kind of study.

    Attributes:
        options: of `nas search`.
        trials: the candidates that are asked for.
        code: of the options those that a worker is given again.
        workers: how many processes search.
        outages: whether the server is stopped, and no worker killed.
    """

    options: tuple[str, ...]
    trials: int
    code: tuple[str, ...] = ()
    workers: int = 4
    outages: bool = False


OF_IMAGES = ("--data", "data.npz", "--space", "space.toml", "--target", "table:phone.csv")  # nothing is timed
OWN = ("--evaluator", "experiments.kills:evaluate")
CASES = {
    "function": Case(OF_IMAGES, 40, OWN),
    "early stopping": Case((*OF_IMAGES, "--early-stopping", "--epochs", "9", "--rungs", "1,3"), 30, OWN),
    "table": Case(("--data", "table:learning-curves", "--objectives", "accuracy,macs"), 60),
    "training": Case((*OF_IMAGES, "--epochs", "2"), 8),
    "one worker": Case(OF_IMAGES, 20, OWN, workers=1),
    "outage": Case(OF_IMAGES, 40, OWN, outages=True),
}
STORAGES = ("sqlite", "postgresql")


def evaluate(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score:
    """Returns a hash of the architecture as its accuracy, after some time; goes on only from its own checkpoint."""
    own = int(architecture.id[:12], 16)
    if fidelity.checkpoint:
        identity, epochs = map(int, fidelity.checkpoint["trained"])
        assert identity == own and epochs < fidelity.epochs, "the checkpoint is another one's"
    time.sleep(own % 64 / 1000)
    parts = 1000 + fidelity.epochs
    return Score(own % parts / parts, checkpoint={"trained": np.array([own, fidelity.epochs])})


@dataclass
class Study:
    """A study whose workers are killed, and the faults that were seen.

    Attributes:
        workers: the commands that search in it.
        read: returns its candidates.
        trials: that were asked for.
        counts: what was found.
        told: the candidates of trials that have ended, as they were first read.
    """

    workers: Sequence[Command]
    read: Callable[[], list[Candidate]]
    trials: int
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    told: dict[int, Candidate] = field(default_factory=dict)

    def begin(self, chance: random.Random) -> float:
        """Begins the study, with some kills meanwhile; returns how long a process takes until it has a trial."""
        first = self.workers[0]
        first.start()
        for _ in range(chance.randrange(3)):
            time.sleep(chance.uniform(0, BEGINS_S))
            self.kill([first])
        began_s = time.monotonic()
        while not self.look() and first.status is None:
            time.sleep(0.05)
        return time.monotonic() - began_s

    def search(self, chance: random.Random, events: int, every_s: float, server: Server | None) -> None:
        """Runs the search until the study ends, with kills before, or outages of the server where it is given."""
        for worker in self.workers[1:]:
            worker.start()
        while self.counts["kills"] + self.counts["outages"] < events and any(
                worker.status is None for worker in self.workers):
            time.sleep(chance.uniform(0, every_s))
            if server is not None:
                server.stop()
                time.sleep(chance.uniform(0, OUTAGE_S))
                server.start()
                self.counts["outages"] += 1
                self.look()
            else:
                self.kill(self.workers if chance.random() < EVERY_WORKER else [chance.choice(self.workers)])
        self.counts["ended badly"] += sum(worker.join(ENDS_WITHIN_S) != 0 for worker in self.workers)
        for worker in self.workers:
            if worker.status is None:
                worker.kill()

    def kill(self, victims: Sequence[Command]) -> None:
        """Kills workers, reads what they have left, and starts them again."""
        killed = [worker for worker in victims if worker.status is None and worker.kill()]
        self.counts["kills"] += bool(killed)
        self.counts["processes"] += len(killed)
        self.look()
        for worker in killed:
            worker.start()

    def look(self) -> list[Candidate]:
        """Reads the study, and compares it with what was read before."""
        try:
            found = self.read()
        except Exception as error:  # whatever it is, it is the finding
            print(f"unreadable: {error!r}")
            self.counts["unreadable"] += 1
            return []
        known = {candidate.trial: candidate for candidate in found if candidate.state in ("complete", "failed", "lost")}
        self.counts["changed"] += sum(known.get(trial) != candidate for trial, candidate in self.told.items())
        self.told |= known
        return found

    def judge(self) -> None:
        """Counts the faults of the study at its end."""
        found = self.look()
        outcomes = collections.Counter(candidate.outcome for candidate in found)
        begun = collections.Counter(candidate.architecture for candidate in found if candidate.continues is None
                                    and candidate.outcome in (Outcome.TRAINED, Outcome.STOPPED, Outcome.FAILED))
        continued = collections.Counter(candidate.continues for candidate in found if candidate.continues is not None
                                        and candidate.outcome is not Outcome.LOST)
        self.counts["trials"] += len(found)
        self.counts["lost"] += outcomes[Outcome.LOST]
        self.counts["doubled"] += sum(times - 1 for times in (*begun.values(), *continued.values()))
        self.counts["left running"] += outcomes[Outcome.RUNNING] + outcomes[Outcome.WAITING]
        failed = [candidate.reason or "" for candidate in found if candidate.outcome is Outcome.FAILED]
        other = [reason for reason in failed if not reason.startswith(KILLED_TWICE)]
        print(*other, sep="\n", end="")
        self.counts["missing"] += abs(self.trials - tally(found).tried) + len(other)
        self.counts["given up"] += len(failed) - len(other)
        in_flight = self.counts["processes"] + self.counts["outages"] * len(self.workers)
        self.counts["missing"] += max(0, outcomes[Outcome.LOST] - in_flight)
        self.counts["orphans"] += len(orphans([session for worker in self.workers for session in worker.sessions]))


def inputs(folder: Path) -> None:
    """Writes the space, latencies of some members, and images of two classes that are easy to tell apart."""
    (folder / "space.toml").write_text(SPACE)
    space, generator = load_space(str(folder / "space.toml")).bind(12, 1, 2), np.random.default_rng(0)
    members = (space.decode(space.sample(generator)) for _ in range(TIMED))
    (folder / "phone.csv").write_text("architecture,latency_ms\n" + "".join(
        f"{member.text},{member.macs / 1e6}\n" for member in members))
    arrays: dict[str, Any] = {}
    for part, count in (("train", 120), ("val", 40), ("test", 40)):
        labels = np.arange(count) % 2
        images = generator.integers(0, 128, (count, 12, 12)) + 100 * labels[:, None, None]
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels}
    np.savez(folder / "data.npz", **arrays)


@dataclass(frozen=True)
class Place:
    """The place where a study of a case is made.

    Attributes:
        folder: for everything that its processes write.
        url: of an empty database; empty for trials in the run directory.
        run_name: of the run directory.
    """

    folder: Path
    url: str = ""
    run_name: str = "run"

    @property
    def run(self) -> RunDirectory:
        """The run directory of the search."""
        return RunDirectory(self.folder / self.run_name, StudyDatabase(self.url, STUDY) if self.url else None)

    def commands(self, case: Case, seed: int) -> list[Command]:
        """Returns the commands of the search and of its workers."""
        where = ("--storage", self.url, "--study", STUDY) if self.url else ()
        search = ["search", *case.options, *case.code, *where, "--run", self.run_name, "--trials", str(case.trials),
                  "--strategy", "random", "--seed", str(seed)]
        joined = (self.url, "--study", STUDY, "--run") if self.url else ()
        workers = [["worker", *joined, f"worker{index}" if self.url else self.run_name, *case.code]
                   for index in range(1, case.workers)]
        environment = {"TMPDIR": str(self.folder / "temporary")}
        return [Command(arguments, self.folder / f"log{index}", environment, self.folder)
                for index, arguments in enumerate([search, *workers])]

    def read(self) -> list[Candidate]:
        """Returns the candidates of all trials, none as long as nothing was begun."""
        run = self.run
        return run.told() if run.exists else []

    def left(self) -> list[str]:
        """Returns the names of files that ended processes have left, and that the next one does not remove."""
        with mock.patch.object(tempfile, "tempdir", str(self.folder / "temporary")), temporary_directory():
            pass
        runs = (path for pattern in ("run", "worker*") for path in self.folder.glob(pattern))
        return [path.name for directory in (self.folder / "temporary", *runs) for path in directory.iterdir()
                if path.name not in {*KEPT, OF_A_LIBRARY}]


def studied(case: Case, seed: int, events: int, folder: Path, server: Server | None) -> collections.Counter[str]:
    """Returns the counts of one study, in a database of the server or without one in a directory."""
    place = Place(folder, server.new_database() if server else "")
    inputs(folder)
    (folder / "temporary").mkdir()
    chance, study = random.Random(seed), Study(place.commands(case, seed), place.read, case.trials)
    every_s = study.begin(chance)
    if place.url:
        StudyDatabase(place.url, STUDY).opened().set_user_attr(GRACE, GRACE_S)
        study.kill(study.workers[:1])  # which has begun with another time of grace
    study.search(chance, events, every_s, server if case.outages else None)
    study.judge()
    left = place.left()
    study.counts.update({"files left": len(left), "studies": 1})
    if case.workers == 1 and not study.counts["given up"]:
        study.counts["other trials"] += order(study.read()) != order(undisturbed(case, seed, folder))
    if any(study.counts[name] for name in FAULTS):
        print({name: study.counts[name] for name in FAULTS if study.counts[name]}, left)
        for log in sorted(folder.glob("log*")):
            print(f"{log.name}: {log.read_text()[-800:]}")
    return study.counts


def undisturbed(case: Case, seed: int, folder: Path) -> list[Candidate]:
    """Returns the candidates of a search of one process that nobody kills."""
    place = Place(folder, run_name="undisturbed")
    (command,) = place.commands(case, seed)
    command.start()
    command.join(ENDS_WITHIN_S)
    return place.read()


def order(found: Sequence[Candidate]) -> list[tuple[str, float | None, float | None]]:
    """Returns the architectures and values of trials that were not lost, one after the other."""
    return [(candidate.architecture, candidate.accuracy, candidate.latency_ms) for candidate in found
            if candidate.outcome is not Outcome.LOST]


def table(results: dict[str, dict[str, int]]) -> str:
    """Returns the counts of each case as lines of Markdown."""
    lines = [f"| case | {' | '.join(COUNTED)} |", "|---" * (len(COUNTED) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(str(row.get(key, 0)) for key in COUNTED)} |"
                                for name, row in results.items())])


def main() -> None:
    """Continues the studies, and writes their counts."""
    parser = argparse.ArgumentParser(description="Kills workers of studies; see the docstring.")
    parser.add_argument("--kills", type=int, default=1000, help="kills and outages in all")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=STORAGES)
    parser.add_argument("--record", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    record: dict[str, Any] = json.loads(arguments.record.read_text()) if arguments.record.exists() else {}
    results: dict[str, dict[str, int]] = record.get("cases", {})
    kinds = [(name, storage) for name in arguments.cases for storage in arguments.storages
             if storage == "postgresql" or not CASES[name].outages]
    with running() as server:
        for name, storage in itertools.cycle(kinds):
            if sum(row.get("kills", 0) + row.get("outages", 0) for row in results.values()) >= arguments.kills:
                break
            before = collections.Counter(results.get(f"{name}, {storage}", {}))
            with tempfile.TemporaryDirectory(prefix="kills-") as folder:
                found = studied(CASES[name], before["studies"], KILLS, Path(folder),
                                server if storage == "postgresql" else None)
            results[f"{name}, {storage}"] = {key: before[key] + found[key] for key in COUNTED}
            write_whole(arguments.record, (json.dumps({"cases": results, "environment": environment()}, indent=1)
                                           + "\n").encode())
            print(table(results), flush=True)


if __name__ == "__main__":
    main()

"""Tables of benchmarks as evaluators: networks that have been trained already, so that a search takes seconds.

`--data table:NAME:FILE` takes the place of data, space and evaluator: a table brings its networks as a space, their
accuracies, and perhaps their latencies, which are then those of every target. `--data table:learning-curves` needs no
file: that table is our own, and has the accuracies after every epoch, so that early stopping can be tried on it.
"""

import csv
import gzip
import hashlib
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.benchmarks.networks import LEARNING_CURVES, accel_nasbench, canonical_macro_key, nas_bench_macro
from evaluators.datasets import Dataset, Split
from evaluators.evaluator import Fidelity
from evaluators.latency import Latency, Precision
from evaluators.machine.files import at_home
from search_spaces.architecture import Architecture
from search_spaces.documents import MOST_CSV_BYTES, parse_table, read_bytes, refused
from search_spaces.errors import InvalidInput, require, unknown
from search_spaces.search_space import Assignment, Trial, Value

PREFIX = "table:"
GZIP = b"\x1f\x8b"  # the first bytes of a compressed file


@dataclass(frozen=True, eq=False)
class TableSpace:
    """The networks of a table by the choices that its authors made: a `SearchSpace`.

    Attributes:
        text: the name of the table.
        parameters: the choices.
        build: makes the network of an assignment.
        canonical: makes equal assignments of those whose networks are equal.
        members: the canonical assignment of each network in the table, by the id of its architecture.
    """

    text: str
    parameters: Mapping[str, tuple[Value, ...]]
    build: Callable[[Mapping[str, Value]], Architecture] = field(repr=False)
    canonical: Callable[[Mapping[str, Value]], Assignment] = field(repr=False)
    members: Mapping[str, Assignment] = field(repr=False)

    @property
    def size(self) -> int:
        """The number of networks in the table."""
        return len(self.members)

    def suggest(self, trial: Trial) -> Assignment:
        """Returns a value for every parameter, asked of an Optuna trial."""
        return {name: trial.suggest_categorical(name, values) for name, values in self.parameters.items()}

    def sample(self, generator: np.random.Generator) -> Assignment:
        """Returns the assignment of a uniformly random network of the table."""
        return dict(list(self.members.values())[generator.integers(self.size)])

    def decode(self, assignment: Mapping[str, Value]) -> Architecture:
        """Returns the network of an assignment; raises `InvalidInput` if the table lacks it."""
        architecture = self.build(assignment) if self._key(assignment) in self._keys else None
        if architecture is None or architecture.id not in self.members:
            raise InvalidInput(f"a network must be in the table, but {self.text} lacks {assignment}")
        return architecture

    def encode(self, architecture: Architecture) -> Assignment | None:
        """Returns the assignment of a network of the table."""
        return self.members.get(architecture.id)

    def active(self, assignment: Mapping[str, Value]) -> Assignment:
        """Returns the canonical assignment."""
        return self.canonical(assignment)

    def neighbours(self, assignment: Assignment) -> Iterator[Assignment]:
        """Yields the assignments that differ in one parameter and decode to another network of the table."""
        own = self.build(assignment).id
        for name, values in self.parameters.items():
            for value in values:
                if self.build(other := assignment | {name: value}).id in self.members.keys() - {own}:
                    yield other

    def enumerated(self, limit: int) -> list[Assignment] | None:
        """Returns the assignment of every network, or None if there are more than `limit`."""
        return list(self.members.values()) if self.size <= limit else None

    def nearest(self, assignment: Assignment, seen: Iterable[str]) -> Architecture:
        """Returns the network of a proposal, or, where the table lacks it, the nearest that was not seen.

        Nearest is what differs in the fewest choices, the first of several.

        Raises:
            InvalidInput: the table lacks the network, and all that it has were seen.
        """
        architecture = self.build(assignment)
        if architecture.id in self.members:
            return architecture
        taken = set(seen)
        free = np.array([member not in taken for member in self.members])
        require(bool(free.any()), f"a table has no more networks than it has, but all {self.size} were seen")
        own = self._places([self.canonical(assignment)])
        distances = np.where(free, (self._member_places != own).sum(axis=1), own.size + 1)
        return self.build(list(self.members.values())[int(np.argmin(distances))])

    def _key(self, assignment: Mapping[str, Value]) -> frozenset[tuple[str, Value]]:
        """Returns a key that is equal for equal networks, which themselves are made in a hundred times as long."""
        return frozenset(self.canonical(assignment).items())

    @cached_property
    def _keys(self) -> set[frozenset[tuple[str, Value]]]:
        return set(map(self._key, self.members.values()))

    def _places(self, assignments: Iterable[Assignment]) -> NDArray[np.int16]:
        """Returns the places `[N, choices]` of chosen values among those of each choice."""
        return np.array([[self.parameters[name].index(value) for name, value in assignment.items()]
                         for assignment in assignments], np.int16)

    @cached_property
    def _member_places(self) -> NDArray[np.int16]:
        return self._places(self.members.values())


@dataclass(frozen=True)
class Table:
    """A space of trained networks: an `Evaluator` and, where it has latencies, a gauge of them.

    Attributes:
        space: its networks.
        dataset: stands for the images that they were trained on; its one image is the fingerprint of the file.
        accuracies: the accuracy of each network in [0, 1], by the id of its architecture.
        latencies_ms: its latency, empty where the table has none.
        curves: the accuracies after each epoch of each of its trainings `[seeds, epochs]`, empty without any.
    """

    space: TableSpace
    dataset: Dataset
    accuracies: Mapping[str, float] = field(repr=False)
    latencies_ms: Mapping[str, float] = field(repr=False)
    curves: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def __call__(self, architecture: Architecture, data: Dataset, fidelity: Fidelity) -> float:
        """Returns the accuracy of a network of the table: after so many epochs, where the table has curves."""
        if not self.curves:
            return self.accuracies[architecture.id]
        curves = self.curves[architecture.id]
        return float(curves[fidelity.recipe.seed % len(curves), fidelity.epochs - 1])

    @property
    def epochs(self) -> int:
        """The epochs of a training; 1 where the table does not tell them apart."""
        return next(iter(self.curves.values())).shape[1] if self.curves else 1

    def size_bytes(self, architecture: Architecture) -> int:
        """Returns the size of the parameters in float32."""
        return 4 * architecture.params

    def latency(self, architecture: Architecture, precision: Precision) -> Latency:
        """Returns the latency of a network of the table."""
        return Latency.exact(self.latencies_ms[architecture.id])


def is_table(data: str) -> bool:
    """Tells whether data are a table's."""
    return data.startswith(PREFIX)


def load_table(data: str) -> Table:
    """Returns the table that `table:NAME:FILE` means; of `table:learning-curves`, by default the one we recorded.

    Raises:
        InvalidInput: unknown name, or a file that cannot be read or is not such a table.
    """
    name, _, file = data.removeprefix(PREFIX).partition(":")
    if name not in TABLES:
        raise unknown("table", name, TABLES)
    file = file or OWN.get(name, "")
    require(bool(file), f"a table is given as {PREFIX}{name}:FILE, but got '{data}'")
    with refused(f"the file must be that of {name}, but '{file}' is not", csv.Error, zlib.error):
        path = at_home(file)
        return _load(name, path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(name: str, file: Path, modified_ns: int) -> Table:
    """Returns a table; kept, since making its networks takes seconds."""
    with file.open("rb") as opened:
        content = gzip.GzipFile(fileobj=opened) if opened.peek(2)[:2] == GZIP else opened
        table = TABLES[name](name, read_bytes(content, MOST_CSV_BYTES))
    require(table.space.size > 0, "a table has networks")
    return table


def _macro(name: str, content: bytes) -> Table:
    """Returns NAS-Bench-Macro: CIFAR-10 accuracy, mean of three trainings (Su et al. 2021); no latencies."""
    layers = [f"layer{index}" for index in range(8)]

    def key(assignment: Mapping[str, Value]) -> str:
        return canonical_macro_key("".join(str(assignment[layer]) for layer in layers))

    found = {key: _share(row["mean_acc"], f"'{key}'") for key, row in json.loads(content).items()
             if key == canonical_macro_key(key)}
    ids = {key: nas_bench_macro(key).id for key in found}
    space = TableSpace(name, dict.fromkeys(layers, (0, 1, 2)), lambda assignment: nas_bench_macro(key(assignment)),
                       lambda assignment: dict(zip(layers, map(int, key(assignment)), strict=True)),
                       {ids[key]: dict(zip(layers, map(int, key), strict=True)) for key in found})
    return Table(space, _stand_in(name, content, 32, 10), {ids[key]: accuracy for key, accuracy in found.items()}, {})


def _accel(name: str, content: bytes) -> Table:
    """Returns Accel-NASBench: accuracy on ImageNet after a short training, and latency on an FPGA (ZCU102).

    Networks whose latency was not measured are left out. Source: Ahmad et al. 2024, section 3.
    """
    names = [f"block{block}_{option}" for block in range(7) for option in ("e", "k", "l", "se")]
    rows = [(line, row) for line, row in parse_table(content.decode(), [*names, "val_top1", "zcu102_latency_mean"])
            if row["zcu102_latency_mean"]]
    parameters = {name: tuple(sorted({int(row[name]) for _, row in rows})) for name in names}
    members, accuracies, latencies_ms = {}, {}, {}
    for line, row in rows:
        assignment: Assignment = {name: int(row[name]) for name in names}
        architecture = accel_nasbench(assignment)
        members[architecture.id] = assignment
        accuracies[architecture.id] = _share(row["val_top1"], f"line {line}")
        latencies_ms[architecture.id] = latency_ms = float(row["zcu102_latency_mean"])
        require(0 < latency_ms < math.inf, f"a latency is positive and finite, but line {line} has {latency_ms:g} ms")
    space = TableSpace(name, parameters, accel_nasbench, dict, members)
    return Table(space, _stand_in(name, content, 224, 1000), accuracies, latencies_ms)


def _learning_curves(name: str, content: bytes) -> Table:
    """Returns learning curves on Fashion-MNIST, see `experiments/learning_curves.py`; accuracies are means of seeds."""
    space = LEARNING_CURVES.bind(14, 1, 10)
    curves: dict[str, list[list[float]]] = {}
    members: dict[str, Assignment] = {}
    for line, row in parse_table(content.decode(), ["architecture", "accuracy_1"]):
        architecture = Architecture.parse(row["architecture"])
        assignment = space.encode(architecture)
        require(assignment is not None, f"the networks of {name} are of its space, but got {architecture.text}")
        members[architecture.id] = dict(assignment or {})
        curves.setdefault(architecture.id, []).append(
            [_share(row[key], f"line {line}", 1) for key in row if key.startswith("accuracy_")])
    arrays = {member: np.array(rows) for member, rows in curves.items()}
    require(len({rows.shape for rows in arrays.values()}) <= 1, "all networks have as many trainings, of equal epochs")
    return Table(TableSpace(name, space.parameters, space.decode, space.active, members),
                 _stand_in(name, content, 14, 10, channels=1),
                 {member: float(rows[:, -1].mean()) for member, rows in arrays.items()}, {}, arrays)


def _share(value: Any, where: str, whole: int = 100) -> float:
    """Returns an accuracy as a share; raises `InvalidInput` outside of 0 and the whole."""
    share = float(value) / whole
    require(0 <= share <= 1, f"an accuracy lies between 0 and {whole}, but {where} has {value}")
    return share


def _stand_in(name: str, content: bytes, resolution: int, classes: int, channels: int = 3) -> Dataset:
    image = np.zeros((1, resolution, resolution, channels), np.uint8)
    image.flat[:32] = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
    split = Split(image, np.zeros(1, np.int32))
    return Dataset(name, tuple(map(str, range(classes))), split, split, split, "as its authors trained and measured")


TABLES: dict[str, Callable[[str, bytes], Table]] = {"nas-bench-macro": _macro, "accel-nasbench": _accel,
                                                    "learning-curves": _learning_curves}
OWN = {"learning-curves": str(Path(__file__).with_name("learning_curves.csv"))}  # tables that come with the package

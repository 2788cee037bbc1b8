"""The network that is to be compressed, as a user names it: the winner of a run, an export, or a file."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluators.datasets import DATASETS, Dataset, load_dataset
from evaluators.datasets.metrics import ACCURACY
from evaluators.machine.files import at_home
from evaluators.networks.checkpoint import load_arrays
from evaluators.recipe import Recipe
from evaluators.training.teacher import Teacher
from nas.engine.setting import data_of
from nas.export.certificate import CERTIFICATE, budgets_of, metric_name, read_export
from nas.export.entries import Certificate
from nas.export.named_network import EXPORT, WEIGHTS, WEIGHTS_SUFFIX, name_of
from nas.export.teachers import teacher_in_file
from nas.export.train import DATA
from nas.export.winner import place_in, trained_candidate
from nas.problem.budgets import Budgets
from nas.problem.candidate import winner
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor
from nas.run.trust import commands_of, require_trusted
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, require


@dataclass(frozen=True)
class Uncompressed:
    """A network that is to become smaller.

    Attributes:
        name: what to call it.
        architecture: the network.
        trained: returns it with its weights, from which the smaller one learns.
        dataset: the data.
        directory: where the smaller one goes if nothing else is said.
        files: those that its weights are read from, none where it is to be trained.
        quiet_ms: what the reference model takes on each target when the machine is quiet, where that is known.
    """

    name: str
    architecture: Architecture
    trained: Callable[[], Teacher]
    dataset: Dataset
    directory: Path
    files: Sequence[Path] = ()
    quiet_ms: Mapping[str, float] = field(default_factory=dict)


def own_budgets(what: str) -> Budgets:
    """Returns the budgets of a run or a certificate, none of a file without; raises as `uncompressed`."""
    if (run := _run(what)) is not None:
        return run.budgets
    certificate = _certificate(_file(what))
    return budgets_of(certificate) if certificate else Budgets()


def uncompressed(what: str, data: str | None, recipe: Recipe, monitor: Monitor, *, skip_broken: bool = False,
                 trust: bool = False) -> Uncompressed:
    """Returns the trained network of a run, of a directory of an export, or of a file.

    Args:
        what: a run directory, whose winner is trained if it was not exported; a directory that holds an export; or a
            file of a trained network.
        data: name of an embedded data set, or a path; by default those of the run or the certificate.
        recipe: by which a winner is trained, without a teacher.
        monitor: what to report to.
        skip_broken: whether image files that are broken are left out.
        trust: whether to run the commands of targets of a run or an export that was not made here.

    Raises:
        InvalidInput: nothing like that, no trained weights, or data that do not fit them.
    """
    if (run := _run(what)) is not None:
        require_trusted(run.path, run.identity, commands_of(run.config.targets), trust)
        return _winner(run, data_of(run, data), recipe.untaught, monitor)
    file = _file(what)
    certificate = _certificate(file)
    if certificate:
        require_trusted(file.parent, *read_export(file.parent).named, trust)
    architecture, _ = load_arrays(file)
    dataset = load_dataset(data or _data(file, certificate), seed=recipe.seed, skip_broken=skip_broken,
                           resolution=architecture.input.resolution,
                           metric=metric_name(certificate) if certificate else ACCURACY)
    stated = certificate["data"] if certificate else None
    require(stated is None or stated["name"] != dataset.name or stated["fingerprint"] == dataset.fingerprint,
            "a network is compressed on the data of its training, split by the same seed so that its test images are "
            f"new to it, or on those of another name, but got others called '{dataset.name}': {dataset.split}")
    monitor.say(f"data: {dataset.summary}")
    name = name_of(file)
    network = dataclasses.replace(teacher_in_file(str(file), dataset), name=name)
    return Uncompressed(name, architecture, lambda: network, dataset, Path(f"{name}.compressed"), (file,))


def _run(what: str) -> RunDirectory | None:
    run = RunDirectory(Path(what))
    return run if run.path.is_dir() and run.exists else None


def _file(what: str) -> Path:
    path = at_home(what)
    if path.is_dir():
        path = path / WEIGHTS
    require(path.is_file() and path.suffix == WEIGHTS_SUFFIX, "trained weights are those of a run, of the directory of "
            f"an export, or of a {WEIGHTS_SUFFIX} file, but got '{what}'" + (
                f" and there is no '{path}'" if path.name == WEIGHTS else ""))
    return path


def _certificate(file: Path) -> Certificate | None:
    directory = file.parent
    return read_export(directory).certificate if file.name == WEIGHTS and (directory / CERTIFICATE).is_file() else None


def _data(file: Path, certificate: Certificate | None) -> str:
    """Returns the data of a certificate, the embedded ones for a file without."""
    if certificate is None:
        return DATA
    name = certificate["data"]["name"] if certificate["data"] else None
    require(name in DATASETS, f"a certificate names its data, but not where they are: `--data` gives the path of "
            f"'{name}', on which '{file}' was trained")
    return str(name)


def _winner(run: RunDirectory, dataset: Dataset, recipe: Recipe, monitor: Monitor) -> Uncompressed:
    """Returns the winner of a run as it was exported, or else to be trained to the end."""
    exported, directory = run.place(EXPORT) / WEIGHTS, place_in(run, "compressed")
    if exported.is_file():
        network = teacher_in_file(str(exported), dataset)
        return Uncompressed("the winner", network.architecture, lambda: network, dataset, directory, (exported,),
                            run.quiet_ms())
    best = winner(run.candidates(), run.config.objectives)
    if best is None:
        raise InvalidInput(f"a winner was trained and meets the budgets of its run, but '{run.path}' has none")
    return Uncompressed(f"trial {best.trial}", Architecture.parse(best.architecture),
                        lambda: trained_candidate(run, best, dataset, recipe, monitor, None), dataset, directory,
                        quiet_ms=run.quiet_ms())

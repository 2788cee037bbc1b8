"""A run directory: the resolved configuration, the study's storage, the weights, and where they came from.

    run.toml         the configuration, what it was resolved to, versions and machine, also of resumed searches
    study.db         the Optuna study: the only record of the trials
    timings.csv      what was timed on targets whose candidates are screened, see `nas.measuring.screening`
    correlation.json trainings with several seeds, for the noise of a score and for `nas correlate`
    finals.json      the trainings of finals before an export
    blocks.json      what each block of the winner takes, see `nas.measuring.blocks`
    weights/ID.safetensors   the trained weights of the members of the front, also as it was before later timings, see
                     `nas.run.artefacts`
    checkpoints/ID.safetensors   the states that stopped trainings continue from
"""

import dataclasses
import math
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evaluators.latency import Latency
from evaluators.machine.devices import processor
from evaluators.machine.files import at_home, exists, held, write_whole
from evaluators.prediction.timings import Timings
from nas.problem.budgets import NONE, Budgets, PerTarget
from nas.problem.candidate import Candidate, directions
from nas.run.artefacts import CHECKPOINTS, WEIGHTS, Artefacts, Files, Rows
from nas.run.config import PLACES, SearchConfig, head_and_path, toml_lines
from nas.run.environment import environment, lasting
from nas.run.server import CONFIGURATION, SharedDatabase, StudyDatabase, is_url
from nas.run.sharing import END, TURN, USE, WORKERS, SharedDirectory, Sharing, outlasting, used
from nas.run.storage import DAMAGE, StudyFile, unusable
from nas.run.trust import identity_of
from nas.trials.reading import Reading, later_timings
from nas.trials.rows import StoredStudy
from search_spaces.documents import read_toml, refused
from search_spaces.errors import InvalidInput, require

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

HELD = (USE, TURN, END, WORKERS, "timings.csv", "correlation.json", "finals.json", WEIGHTS, CHECKPOINTS,
        "evaluator")
TRIALS, STUDY_NAME = "trials", "study"  # keys of run.toml: the storage of the trials, once there is one; its study


@dataclass(frozen=True)
class Resolved:
    """The values that a configuration was resolved to on its data and target.

    `by_hand` and `filled` are the networks that fill the budgets and are tried first, as `nas.measuring.filling` found
    them; `easy_accuracy` is that of logistic regression on the validation images, None where nothing is trained here.
    """

    space: str
    resolution: int
    channels: int
    classes: int
    data_fingerprint: str
    data_split: str
    latency_ms: PerTarget = None
    by_hand: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    easy_accuracy: float | None = None

    def differences(self, other: "Resolved") -> list[str]:
        """Returns a line for each field that differs from the other's."""
        return [f"{field.name} is {getattr(self, field.name)!r} there, {getattr(other, field.name)!r} here"
                for field in dataclasses.fields(self) if getattr(self, field.name) != getattr(other, field.name)]


@dataclass(frozen=True)
class RunDirectory:
    """A directory that holds one search; run.toml is read when it is first asked for.

    Attributes:
        path: of the directory.
        elsewhere: the database that has the trials, where that is given and not only known from run.toml.
    """

    path: Path
    elsewhere: StudyDatabase | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", at_home(self.path))
        require(not is_url(str(self.path)), "a run is a directory, but got a URL, which `nas worker` takes")

    @property
    def exists(self) -> bool:
        """Tells whether a search was begun in the directory."""
        return self.place("run.toml").is_file()

    @classmethod
    def existing(cls, path: str | Path) -> "RunDirectory":
        """Returns the run directory at a path; raises `InvalidInput` if no search was begun there."""
        run = cls(Path(path))
        require(run.exists, f"a run directory holds run.toml, but '{path}' does not")
        return run

    @cached_property
    def config(self) -> SearchConfig:
        """The configuration that the search was begun with, what has moved with the directory where it is now."""
        stored: SearchConfig = self._section("config", SearchConfig)
        before, now = self._content.get("directory"), os.path.abspath(self.path)  # noqa: PTH100 - without `..`
        return stored.moved(before, now) if isinstance(before, str) and before != now else stored

    @cached_property
    def resolved(self) -> Resolved:
        """The values that the configuration was resolved to."""
        return self._section("resolved", Resolved)

    @cached_property
    def budgets(self) -> Budgets:
        """The budgets of the search."""
        return self.config.budgets(self.resolved.latency_ms)

    @property
    def identity(self) -> str:
        """The identity of the run, wherever its directory is: by the time and the machine that it was begun on."""
        return identity_of("run", self._content.get("environment"))

    @property
    def environments(self) -> list[dict[str, Any]]:
        """The versions and the machine of the search, and others that it was resumed with."""
        first = self._content.get("environment")
        return [*([first] if isinstance(first, dict) else []), *self._content.get("resumed", ())]

    @cached_property
    def _content(self) -> dict[str, Any]:
        path = self.place("run.toml")
        with refused(f"run.toml must be as a search has written it, but '{path}' is not"):
            return read_toml(path, "surrogateescape")

    def place(self, *names: str) -> Path:
        """Returns the path of a file or directory in it; raises `InvalidInput` where a link leads out of it."""
        return held(self.path, *names)

    @property
    def writable(self) -> bool:
        """Tells whether this process may write into the directory."""
        return os.access(self.path, os.W_OK | os.X_OK)

    def require_there(self, config: SearchConfig, *names: str) -> None:
        """Raises `InvalidInput` for a missing path in a configuration where the run had one.

        Args:
            config: that of the run, or one with other paths.
            names: which of `PLACES` are needed.
        """
        for name in names:
            (_, before), (_, now) = (head_and_path(getattr(one, name)) for one in (self.config, config))
            were, commands = (("were", "`nas search`, `nas export` or `nas correlate`") if name == "data" else
                              ("was", "`nas search`"))
            require(not now or now in PLACES[name] or not before.startswith(os.sep) or exists(now),
                    f"the {name} of this run {were} at '{before}', but '{now}' is missing; `--{name}` of {commands} "
                    "takes another path")

    @cached_property
    def artefacts(self) -> Artefacts:
        """The networks and checkpoints of the search."""
        storage = self._storage
        return Artefacts(Rows(storage.pooled, storage.opened()._study_id) if isinstance(storage, StudyDatabase)
                         else Files(self.path))

    @property
    def timings(self) -> Timings:
        """The timings that the predictors of a search learn from."""
        return Timings(self.place("timings.csv"))

    def begin_timings(self, before: Timings) -> None:
        """Takes over the timings from before there was a directory."""
        if before.path.exists():
            shutil.copyfile(before.path, self.timings.path)

    def write(self, config: SearchConfig, resolved: Resolved) -> None:
        """Writes run.toml, whole or not at all. The environment of a resumed search is added."""
        self.path.mkdir(parents=True, exist_ok=True)
        vars(self).pop("_content", None)  # another process may have resumed the search meanwhile
        before, now = self._content if self.exists else {}, environment()
        first, resumed = before.get("environment", now), list(before.get("resumed", ()))
        if not any(lasting(one) == lasting(now) for one in (first, *resumed)):
            resumed.append(now)
        sections = [("[config]", dataclasses.asdict(config)), ("[resolved]", dataclasses.asdict(resolved)),
                    ("[environment]", first), *(("[[resumed]]", one) for one in resumed)]
        self._write("\n".join(f"{name}\n{toml_lines(values)}" for name, values in sections))
        vars(self).update(config=config, resolved=resolved)

    def _write(self, sections: str) -> None:
        """Writes run.toml with these sections, and where it and its trials are."""
        place = toml_lines({"directory": os.path.abspath(self.path),  # noqa: PTH100 - without `..`
                            TRIALS: self._storage.text if self._storage.was_there else None,
                            STUDY_NAME: self._storage.name if isinstance(self._storage, StudyDatabase) else None})
        write_whole(self.place("run.toml"), f"{place}\n{sections}".encode(errors="surrogateescape"))
        for name in ("_content", "budgets"):
            vars(self).pop(name, None)

    @property
    def study_name(self) -> str:
        """The name of the study, empty where it is not in a database."""
        return str(self._content.get(STUDY_NAME, "")) if self.exists else ""

    def describe(self) -> None:
        """Keeps the text of run.toml in the study too, for workers on other machines and to mend that file."""
        text, study = self.place("run.toml").read_text(errors="surrogateescape"), self.study()
        if study.user_attrs.get(CONFIGURATION) != text:
            study.set_user_attr(CONFIGURATION, text)

    def join(self) -> None:
        """Makes the directory of a worker, by the description in a study that is elsewhere."""
        assert isinstance(self._storage, StudyDatabase)
        text = self._storage.description()
        self.path.mkdir(parents=True, exist_ok=True)
        self._write(text[text.index("[config]"):])

    def locked(self, alone: bool = False) -> AbstractContextManager[Callable[[], None]]:
        """Returns a context in which the directory is in use, see `nas.run.sharing.used`."""
        return used(self.path, alone)

    def shared(self, say: Callable[[str], None]) -> AbstractContextManager[Sharing]:
        """Returns a context in which this process works on the search, beside others; `say` tells of an outage."""
        storage = self._storage
        return SharedDatabase(storage, say) if isinstance(storage, StudyDatabase) else SharedDirectory(self.path)

    def study(self, sampler: "optuna.samplers.BaseSampler | None" = None) -> "optuna.Study":
        """Returns the study of the run, made where there is none; a search, which has a sampler, names its values."""
        import optuna

        study = self._study
        if sampler is not None:
            study.sampler = sampler
            if study.metric_names is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    study.set_metric_names(list(self.config.objectives))
        return study

    @property
    def kept_configuration(self) -> str | None:
        """The text of run.toml as the study has it, None in runs of earlier versions and where there is no study."""
        file = StudyFile(self.path)
        return file.read().user_attrs.get(CONFIGURATION) if file.path.exists() else None

    @cached_property
    def _study(self) -> "optuna.Study":
        """The study as a search goes on with it, opened once: Optuna checks the tables of its storage each time."""
        self.begin_trials(self.config)
        self.told()  # raises before anything is written to a damaged file
        return self._storage.opened()

    def close(self) -> None:
        """Closes the storage of the trials; it is opened anew for whoever goes on."""
        for name in ("_study", "artefacts"):
            vars(self).pop(name, None)
        self._storage.close()

    @cached_property
    def _storage(self) -> StudyFile | StudyDatabase:
        """The storage of the trials: in the directory, or in a database."""
        if self.elsewhere is not None:
            return self.elsewhere
        text = self._content.get(TRIALS, "") if self.exists else ""
        return StudyDatabase(text, self._content.get(STUDY_NAME, "")) if is_url(str(text)) else StudyFile(self.path)

    def begin_trials(self, config: SearchConfig) -> None:
        """Makes the storage of the trials where there is none yet, before run.toml tells that there is one."""
        if not self.has_trials():
            self._storage.begin(directions(config.objectives))

    def has_trials(self) -> bool:
        """Tells whether there is a storage of trials; raises `InvalidInput` where it is gone."""
        file = self._storage
        if file.exists:
            return True
        if file.was_there or (self.exists and (
                TRIALS in self._content or self.artefacts.store.names(WEIGHTS))):
            raise unusable(file.place, "gone")
        return False

    def require_sound(self) -> None:
        """Raises `InvalidInput` where a search can neither begin nor go on, before it has spent any time."""
        for name in HELD:
            self.place(name)
        if self.exists:
            self.told()
            return
        trials = self._trials(self._storage.read()) if self.has_trials() else []
        for there, path in ((trials, self._storage.place), (self.timings.path.exists(), self.timings.path)):
            require(not there, f"a search begins where no other one has begun, but '{path}' is there without its "
                    "run.toml; put that back, or search in another directory (`--run`)")

    def storing(self) -> AbstractContextManager[None]:
        """Returns a context in which errors of the storage are told in one line, see `nas.run.storage`."""
        return self._storage.telling()

    def outlasting(self, say: Callable[[str], None], work: Callable[[], T]) -> T:
        """Returns the result of work on a search that has begun, done again as long as its server is away."""
        return outlasting(lambda error: self.exists and self._storage.outlasts(error, say), work)

    def _known(self) -> "optuna.Study | StoredStudy | None":
        """Returns the study that is searched in, else a copy of it as it is now; None before the first trial."""
        if "_study" in vars(self):
            return self._study
        return self._storage.read() if self.has_trials() else None

    def told(self) -> list[Candidate]:
        """Returns the candidates of all trials, in the order of their numbers, as these were told.

        Raises:
            InvalidInput: their storage is gone, damaged, or none that a search has made.
        """
        trials = self.trials()
        with self._storage.telling(DAMAGE):
            return self._reading.told(trials)

    def trials(self) -> "Sequence[optuna.trial.FrozenTrial]":
        """Returns the trials in the order of their numbers, as Optuna has them; raises as `told` does."""
        study = self._known()
        return self._trials(study) if study is not None else []

    def _trials(self, study: "optuna.Study | StoredStudy") -> "Sequence[optuna.trial.FrozenTrial]":
        with self._storage.telling(DAMAGE):
            found = study.get_trials(deepcopy=False)
            if found and found[-1].number != len(found) - 1:  # they are in order, and each has a number of its own
                raise ValueError("trials are missing")
        return found

    def candidates(self, told: Sequence[Candidate] | None = None) -> list[Candidate]:
        """Returns the candidates whose architecture is known, in the order of their trials; lost ones are left out.

        What was learned after a trial had ended, such as a later timing, takes the place of what it and the other
        trials of its architecture were told. `told` are the candidates of the trials, where they have been read.
        """
        told = self.told() if told is None else told
        if not told:
            return []
        study = self._known()
        with self._storage.telling(DAMAGE):
            return self._reading.judged(told, self.resolved.by_hand, study.user_attrs if study else {}, self.budgets)

    @cached_property
    def _reading(self) -> Reading:
        return Reading(self.config.targets[0], self.config.metric)

    def trainings(self) -> list[Candidate]:
        """Returns a candidate of each architecture whose training came to its end, as it was told."""
        return list({candidate.architecture: candidate for candidate in self.told()
                     if candidate.state == "complete" and candidate.trained}.values())

    def note_latencies(self, trial: int, latencies: Mapping[str, Latency]) -> None:
        """Records later timings of a trial's architecture beside the trial, which Optuna keeps as it was told.

        Notes are added, never changed; the last one counts. Where nothing can be written, they end with this process.
        """
        study = self.study() if self.writable else self._known()
        assert study is not None, "a trial has a study"
        with self.storing():
            study.set_user_attr(f"after:{trial}:latency:{len(later_timings(study.user_attrs, trial)) + 1}",
                                {target: dataclasses.asdict(latency) for target, latency in latencies.items()})

    def quiet_ms(self) -> dict[str, float]:
        """Returns the time of the reference model on each target of a quiet machine like this, where it is known."""
        found: dict[str, float] = {}
        for candidate in self.candidates():
            for target, latency in candidate.costs.latencies.items():
                if latency.quiet_reference_ms and latency.processor in ("", processor()):
                    found[target] = min(latency.quiet_reference_ms, found.get(target, math.inf))
        return found

    def _section(self, section: str, kind: Any) -> Any:
        """Returns a section of run.toml as a dataclass; fields that another version has written are ignored."""
        known = {field.name for field in dataclasses.fields(kind)}
        values = self._content.get(section)
        with refused(f"run.toml must be as a search has written it, but '{self.path / 'run.toml'}' is not"):
            if not isinstance(values, dict):
                raise InvalidInput(f"it lacks the section [{section}]")
            return kind(**{name: tuple(None if one == NONE else one for one in value) if isinstance(value, list)
                           else value for name, value in values.items() if name in known})

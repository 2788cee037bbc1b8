"""The examination of a run directory: its inconsistencies, and their repair.

Reading changes nothing, and may go on while a search runs. A repair takes away nothing that is intact: what is of no
use, or cannot be read, is moved to `aside/` in the run directory.
"""

import contextlib
import fcntl
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evaluators.machine.files import BEFORE, BEING_WRITTEN, held, put_right, write_whole
from evaluators.networks.checkpoint import network_in, require_whole
from evaluators.prediction.timings import intact_lines
from nas.engine.correlation import CORRELATION
from nas.engine.scores import read_scores
from nas.engine.successive_halving import stopped
from nas.export.certificate import CERTIFICATE, read_export
from nas.export.finals import FINALS, recorded
from nas.measuring.blocks import BLOCKS, read_blocks
from nas.problem.candidate import Candidate, Outcome, front
from nas.run.artefacts import CHECKPOINTS, WEIGHTS, id_in, name_of
from nas.run.directory import RunDirectory
from nas.run.storage import DAMAGE, INDEX, JOURNAL, LOG
from nas.trials.record import write_lost
from search_spaces.architecture import identify
from search_spaces.errors import InvalidInput, require
from search_spaces.numbers import count_of

ASIDE = "aside"
RUN, STUDY, TIMINGS, LOCK = "run.toml", "study.db", "timings.csv", ".lock"
TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}")  # as `write_whole` names it
FILLED = re.compile(rf"\.(.+)\.{BEING_WRITTEN}\w+(?:{re.escape(BEFORE)})?")  # as `whole_directory` does
IN_USE_S = 60.0  # a temporary file that is younger may be on its way to its place
TRAINING = "training"  # the evaluator that surely leaves weights and checkpoints


@dataclass(frozen=True)
class Finding:
    """An inconsistency of a run.

    Attributes:
        path: of the file within the run directory.
        words: the rule, then the value.
        repair: does what can be done about it, and returns that in words; None where there is nothing.
    """

    path: str
    words: str
    repair: Callable[[], str] | None = None


@dataclass(frozen=True)
class Patient:
    """A run directory under examination.

    Attributes:
        run: the directory.
        names: the artefacts that were there before the trials were read.
        told: the candidates of all trials; None where they cannot be read.
        busy: whether a search works in the directory.
    """

    run: RunDirectory
    names: Sequence[str]
    told: list[Candidate] | None
    busy: bool

    @property
    def path(self) -> Path:
        """The path of the directory."""
        return self.run.path

    def aside(self, path: Path) -> str:
        """Moves a file or directory of the run aside, and tells where it is now."""
        place = self._place_aside(path)
        path.rename(place)
        return f"moved to '{place.relative_to(self.path)}'"

    def artefact_aside(self, name: str) -> str:
        """Moves an artefact aside, out of a database too, and tells where it is now."""
        place = self._place_aside(self.path / name)
        write_whole(place, self.run.artefacts.read(name) or b"")
        self.run.artefacts.remove(name)
        return f"moved to '{place.relative_to(self.path)}'"

    def _place_aside(self, path: Path) -> Path:
        place = held(self.path, ASIDE, *path.relative_to(self.path).parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        while place.exists():
            place = place.with_name(f"{place.name}.before")
        return place


def examined(path: Path) -> list[Finding]:
    """Returns the inconsistencies of a run directory.

    Raises:
        InvalidInput: it is none.
        OSError: it cannot be read.
    """
    patient = _patient(path)
    return [finding for check in CHECKS for finding in _found(check, patient)]


def repaired(path: Path) -> list[tuple[Finding, str | None]]:
    """Returns the inconsistencies of a run directory, and the words of their repair.

    Raises:
        InvalidInput: as `examined`, or a search works in it.
    """
    _require_run(path)
    with RunDirectory(path).locked(alone=True):
        return [(finding, finding.repair() if finding.repair else None)
                for check in CHECKS for finding in _found(check, _patient(path, busy=False))]


def _found(check: "Check", patient: Patient) -> list[Finding]:
    """Returns the findings of a check; a study whose values make no sense is one."""
    found: list[Finding] = []
    with _told(STUDY) as words:
        found.extend(check(patient))
    return [*found, *(Finding(STUDY, line) for line in words)]


def _patient(path: Path, busy: bool | None = None) -> Patient:
    run = _require_run(path)
    busy = _is_busy(path) if busy is None else busy
    names: list[str] = []
    told = None
    with contextlib.suppress(InvalidInput):  # is told by the checks
        busy = busy or bool(run.study_name)  # by workers on any machine
        names = [name for kind in (WEIGHTS, CHECKPOINTS) for name in run.artefacts.store.names(kind)]
    with contextlib.suppress(InvalidInput):
        told = run.told()
    return Patient(run, names, told, busy)


def _require_run(path: Path) -> RunDirectory:
    """Returns a run directory; raises `InvalidInput` where a path is none, before anything is made there."""
    run = RunDirectory(path)
    require(any((path / name).exists() for name in (RUN, STUDY, STUDY + LOG)),
            f"a run directory holds {RUN} or {STUDY}, but '{path}' has neither")
    return run


def _is_busy(path: Path) -> bool:
    """Tells whether a search holds a run directory."""
    try:
        handle = os.open(path / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _configuration(patient: Patient) -> Iterator[Finding]:
    run = patient.run
    with _told(RUN) as found:
        require(run.exists, f"a run directory holds {RUN}, but '{run.path}' does not")
        run.config, run.resolved, run.budgets, run.environments  # noqa: B018 - each is read when it is asked for
    kept: list[str] = []
    with _told(STUDY):  # is told by the next check
        kept = [text for text in [run.kept_configuration if found else None] if text]

    def restore() -> str:
        if (patient.path / RUN).exists():
            patient.aside(patient.path / RUN)
        write_whole(patient.path / RUN, kept[0].encode(errors="surrogateescape"))
        return "written as the study has it"

    for words in found:
        yield Finding(RUN, words, restore if kept else None)


def _study(patient: Patient) -> Iterator[Finding]:
    run, place = patient.run, patient.path / STUDY
    if patient.told is None:
        with _told(STUDY) as found:
            run.told()
        yield from (Finding(STUDY, words) for words in found if RUN not in words)
        return
    beside = [name for name in (LOG, INDEX, JOURNAL) if (patient.path / f"{STUDY}{name}").exists()]
    if patient.busy or not beside:
        return

    def join() -> str:
        with contextlib.closing(sqlite3.connect(place)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
            database.execute("PRAGMA journal_mode=WAL")
        for name in beside:
            (patient.path / f"{STUDY}{name}").unlink(missing_ok=True)
        return "joined into one file"

    yield Finding(STUDY, f"a study is one file when nobody searches, but beside '{STUDY}' a killed process has left "
                  f"{' and '.join(f'{STUDY}{name}' for name in beside)}", join)


def _running(patient: Patient) -> Iterator[Finding]:
    if patient.busy:
        return
    from optuna.trial import TrialState

    running = [candidate.trial for candidate in patient.told or ()
               if candidate.outcome is Outcome.RUNNING and not candidate.waits]

    def end() -> str:
        study = patient.run.study()
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in running:
                write_lost(study, trial)
                study.tell(trial.number, state=TrialState.FAIL)
        patient.run.close()
        return "marked as lost, so that they are taken up again"

    if running:
        yield Finding(STUDY, "a running trial has a process, but nobody works on trial "
                      f"{', '.join(map(str, running))}", end)


def _artefacts(patient: Patient) -> Iterator[Finding]:
    own = {identify(candidate.architecture) for candidate in patient.told or () if candidate.architecture}
    for name in patient.names:
        with _told(name) as found:
            content = patient.run.artefacts.read(name)
            if content is not None:  # else the search has removed it meanwhile
                require_whole(content)
                of = network_in(content)
                require(of is None or of.id == id_in(name),
                        f"a network lies under the id of its architecture, but this is of {of}")
        if not found and patient.told is not None and id_in(name) not in own:
            found.append("a kept network is of a trial, but this one is of none")
        for words in found:
            yield Finding(name, words, partial(patient.artefact_aside, name))


def _missing(patient: Patient) -> Iterator[Finding]:
    run = patient.run
    with contextlib.suppress(InvalidInput):  # is told by the checks before
        if patient.busy or patient.told is None or run.config.evaluator != TRAINING:
            return
        candidates, objectives = run.candidates(patient.told), run.config.objectives
        first = {candidate.architecture for candidate in front(patient.told, objectives)}  # as none was timed again
        members = [candidate for candidate in front(candidates, objectives) if candidate.architecture in first]
        needed = {WEIGHTS: members, CHECKPOINTS: stopped(candidates)}
        for kind, of in needed.items():
            for candidate in of:
                name = name_of(kind, identify(candidate.architecture))
                if candidate.taken_from is None and name not in patient.names:
                    yield Finding(name, f"trial {candidate.trial} has left its {kind}, but they are missing"
                                  + (": it is trained anew if it goes on" if kind == CHECKPOINTS else ""))


def _records(patient: Patient) -> Iterator[Finding]:
    records: dict[str, Callable[[Path], object]] = {
        CORRELATION: read_scores, FINALS: recorded, BLOCKS: read_blocks}
    for name, read in records.items():
        path = patient.path / name
        with _told(name) as found:
            read(patient.run.place(name))
        for words in found:
            yield Finding(name, words, None if path.is_symlink() else partial(patient.aside, path))


def _timings(patient: Patient) -> Iterator[Finding]:
    path = patient.path / TIMINGS
    if patient.busy or not path.is_file() or path.is_symlink():
        return
    intact, broken = intact_lines(path.read_bytes())

    def keep() -> str:
        words = patient.aside(path)
        path.write_bytes(intact)
        return f"{words}; its {count_of(len(intact.splitlines()) - 1, 'intact line stays', 'intact lines stay')}"

    if broken:
        yield Finding(TIMINGS, f"a table of timings has a network in each line, but line {', '.join(map(str, broken))} "
                      "has none, or no end", keep)


def _exports(patient: Patient) -> Iterator[Finding]:
    for certificate in sorted(patient.path.glob(f"*/{CERTIFICATE}")):
        if certificate.parent.name != ASIDE:
            name = str(certificate.relative_to(patient.path))
            with _told(name) as found:
                read_export(certificate.parent)
            for words in found:
                yield Finding(name, f"{words}; once it is moved away, `nas export` writes it anew")
    for path in sorted((*patient.path.glob("*.unfinished.safetensors"), *patient.path.glob("*.pruned.safetensors"))):
        with _told(path.name) as found:
            require_whole(path.read_bytes())
        for words in found:
            yield Finding(path.name, words, partial(patient.aside, path))


def _leftovers(patient: Patient) -> Iterator[Finding]:
    old = time.time() - IN_USE_S
    for path in sorted((*patient.path.glob(".*"), *patient.path.glob(f"{WEIGHTS}/.*"),
                        *patient.path.glob(f"{CHECKPOINTS}/.*"))):
        status, name = path.lstat(), str(path.relative_to(patient.path))
        if stat.S_ISREG(status.st_mode) and TEMPORARY.fullmatch(path.name) and status.st_mtime < old:
            yield Finding(name, "a temporary file lasts a moment, but a killed process has left this one",
                          partial(patient.aside, path))
        elif (match := FILLED.fullmatch(path.name)) and put_right(path, patient.path / match[1], dry=True):
            yield Finding(name, "a directory is filled by a living process, but a killed one has left this one",
                          partial(put_right, path, patient.path / match[1]))


def _access(patient: Patient) -> Iterator[Finding]:
    for path in sorted(patient.path.rglob("*")):
        status = path.lstat()
        name, mode = str(path.relative_to(patient.path)), status.st_mode
        if stat.S_ISLNK(mode):
            yield Finding(name, "a run directory holds files and directories of its own, but this is a link")
            continue
        wanted = stat.S_IRUSR | (stat.S_IXUSR if stat.S_ISDIR(mode) else 0)
        if patient.path.stat().st_mode & stat.S_IWUSR:
            wanted |= stat.S_IWUSR
        if status.st_uid == os.geteuid() and mode & wanted != wanted:

            def grant(path: Path = path, mode: int = mode | wanted) -> str:
                path.chmod(stat.S_IMODE(mode))
                return f"its mode is {stat.S_IMODE(mode):o} now"

            yield Finding(name, f"its owner can read and write a run, but the mode is {stat.S_IMODE(mode):o}", grant)


Check = Callable[[Patient], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    _access, _configuration, _study, _running, _artefacts, _missing, _records, _timings, _exports, _leftovers)


@contextlib.contextmanager
def _told(name: str) -> Iterator[list[str]]:
    """Yields a list that gets the words of an error which the block raises about a file."""
    found: list[str] = []
    try:
        yield found
    except InvalidInput as error:
        found.append(str(error))
    except OSError as error:
        found.append(f"a file of a run can be read, but '{name}' cannot: {error.strerror}")
    except DAMAGE as error:
        found.append(f"a file of a run is as it was written, but '{name}' is not: {type(error).__name__}: {error}")

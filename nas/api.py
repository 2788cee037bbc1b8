"""The Python interface: `search` returns a `Run`, which is asked for the front, the winner and the exported file."""

import secrets
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.machine.files import at_home
from evaluators.recipe import FINAL_EPOCHS
from nas.export.certificate import ACCURACY_LOSS_POINTS, Exported
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate, distinct, front, winner
from nas.problem.representation import Front
from nas.run.config import SearchConfig, of_script
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor
from nas.run.trust import given_in_python
from search_spaces.errors import require

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Run:
    """A search, finished or not, in its directory.

    >>> run = Run.open("runs/first")                # doctest: +SKIP
    >>> run.best().architecture                     # doctest: +SKIP
    """

    directory: RunDirectory

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Returns the run in a directory; raises `InvalidInput` if there is none."""
        return cls(RunDirectory.existing(path))

    @property
    def path(self) -> Path:
        """The path of the run directory."""
        return self.directory.path

    @property
    def config(self) -> SearchConfig:
        """The configuration of the search."""
        return self.directory.config

    @property
    def budgets(self) -> Budgets:
        """The limits of the search, a percentile resolved."""
        return self.directory.budgets

    def candidates(self) -> list[Candidate]:
        """Returns every trial, in the order of their numbers."""
        return self.directory.candidates()

    def _repr_html_(self) -> str:
        from nas.report.notebook import run_html

        return run_html(self.directory)

    def pareto(self) -> Front:
        """Returns the front: the feasible, fully trained candidates that no other one dominates, fastest first."""
        return Front(distinct(front(self.candidates(), self.config.objectives)))

    def to_dataframe(self) -> "pandas.DataFrame":
        """Returns a row for each trial with the columns of `nas pareto --csv`; raises `InvalidInput` without pandas."""
        from nas.report.records import COLUMNS, rows

        require(find_spec("pandas") is not None,
                "a data frame needs pandas (pip install 'paretonas[pandas]'), but 'pandas' is not installed")
        import pandas

        return pandas.DataFrame(rows(self.candidates(), self.config.objectives), columns=list(COLUMNS))

    def best(self, budgets: Budgets | None = None) -> Candidate | None:
        """Returns the feasible candidate of highest accuracy, under the run's or other budgets; None without any."""
        from nas.export.winner import judged

        return winner(judged(self.directory, budgets or self.budgets), self.config.objectives)

    def export(self, *, trial: int | None = None, budgets: Budgets | None = None, formats: Sequence[str] = (),
               out: str | Path | None = None, epochs: int = FINAL_EPOCHS, finals: int | None = None,
               accuracy_loss: float = ACCURACY_LOSS_POINTS, preprocess_inside: bool = False,
               data: str | None = None, trust: bool = False, teacher: str | Sequence[str] = (),
               precision: str | None = None, seeds: int = 1, monitor: Monitor | None = None, **settings: Any
               ) -> Exported:
        """Returns the exported and certified winner; see `nas.export.winner.export_winner`."""
        from nas.export.winner import export_winner

        return export_winner(self.directory, trial=trial, budgets=budgets, formats=formats,
                             out=at_home(out) if out else None, epochs=epochs, finals=finals,
                             accuracy_loss=accuracy_loss, preprocess_inside=preprocess_inside, data=data,
                             trust=trust, teacher=teacher, precision=precision, seeds=seeds, monitor=monitor,
                             **settings)

    def plot(self, path: str | Path) -> None:
        """Draws the front into a PNG file, or an SVG file where its name ends so."""
        from nas.report.figure import write_figure
        from nas.report.plot import draw_front

        write_figure(at_home(path), draw_front(self.candidates(), self.budgets, self.config.objectives,
                                               easy_accuracy=self.directory.resolved.easy_accuracy))


def search(config: SearchConfig, run: str | Path | None = None, *, trust: bool = False, **options: Any) -> Run:
    """Returns the run of a search, begun in the directory `run` or resumed there; see `nas.engine.search`.

    To resume one that was not begun here, an evaluator or a strategy is imported before, or `trust` says to run them.
    """
    from nas.engine.search import run_search

    directory = RunDirectory(Path(run or new_run_directory()))
    if of_script(config.evaluator) and not directory.exists:
        warnings.warn(f"the evaluator '{config.evaluator}' is of a script or notebook, which alone can resume this "
                      "search; one of a module is found by `nas search --run` too", stacklevel=2)
    return Run(run_search(config, directory.path, trust=trust or given_in_python(config), **options))


def new_run_directory() -> Path:
    """Returns a path under `runs` that is named after the time, and another one each time that it is asked."""
    return Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"

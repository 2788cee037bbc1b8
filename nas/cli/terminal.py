"""The display of a search in a terminal: lines worth keeping, and a live line beneath them."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment

from nas.problem.candidate import Candidate
from nas.report.measured import accuracy_text, latency_text
from nas.report.table import front_report
from nas.report.terminal import plot_front
from nas.trials.tally import Tally
from search_spaces.errors import visible

if TYPE_CHECKING:
    from nas.api import Run


UNFOLDED = 1000  # columns of what is no terminal, so that files and programs get each name in one piece


def console_on_stdout() -> Console:
    """Returns the console of a command."""
    return _console(stderr=False)


def console_on_stderr() -> Console:
    """Returns the console of a command whose stdout takes a file."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    """Returns a console that shows control characters, as names of files may have, and obeys none."""
    shown = (sys.stderr if stderr else sys.stdout).isatty()
    console = Console(stderr=stderr, width=None if shown else UNFOLDED, markup=False, emoji=False)
    console.push_render_hook(_Escaping())
    return console


@dataclass(frozen=True)
class _Visible:
    """A content to print, with its control characters escaped."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.content, options):
            yield segment if segment.control else Segment("\n".join(map(visible, segment.text.split("\n"))),
                                                          segment.style)


class _Escaping(RenderHook):
    """The hook of a console through which all goes that is printed."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Visible(one) for one in renderables]


def print_front(run: "Run", console: Console) -> None:
    """Prints the front of a run as a plot and a table, what it is worth, and how far accuracies differ by chance."""
    from evaluators.benchmarks.tables import is_table
    from nas.engine.noise import noise_of
    from nas.engine.worth import worth
    from nas.report.correlation import noise_text

    candidates, objectives, easy = run.candidates(), run.config.objectives, run.directory.resolved.easy_accuracy
    console.print(plot_front(candidates, run.budgets, objectives, width=min(console.width, 100), easy_accuracy=easy))
    console.print(front_report(candidates, run.budgets, objectives, easy))
    lines = [*worth(candidates, easy)]
    if not is_table(run.config.data):
        lines.append(noise_text(noise_of(run.directory), run.config.recipe.epochs, run.path))
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


class Terminal:
    """A monitor on a console; without a terminal it prints lines only."""

    def __init__(self, console: Console, trials: int | None = None) -> None:
        """Takes the console, and the number of candidates to be trained, if it is known."""
        self._trials = trials
        self._progress = Progress(SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20),
                                  MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
                                  console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("starting", total=None, note="")
        self._preparing = ""

    def __enter__(self) -> "Terminal":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Prints a line."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, table: RenderableType) -> None:
        """Prints a table."""
        self._progress.console.print(table)

    def progress(self, what: str, done: int, total: int) -> None:
        """Shows the progress of a preparation."""
        if what != self._preparing:
            self._preparing = what
            if self._progress.disable:
                self.say(f"{what} ...")
        self._progress.update(self._task, description=what, completed=done, total=total, note="")

    def phase(self, trial: int, what: str) -> None:
        """Shows the phase of a trial."""
        self._progress.update(self._task, description=f"trial {trial}: {what}")

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Prints a trained or failed candidate, and shows the counts and the best feasible one."""
        stopped = f"{tally.stopped} stopped, " if tally.stopped else ""
        taken = f"{tally.taken_over} taken over, " if tally.taken_over else ""
        untimed = f" ({tally.screened} untimed)" if tally.screened else ""
        counts = (f"{tally.trained} trained, {taken}{stopped}{tally.rejected} rejected{untimed}, "
                  f"{tally.duplicates} duplicate, {tally.failed} failed")
        if last is not None and last.epochs and last.state == "complete":
            star = " *" if best is not None and best.architecture == last.architecture else ""
            notes = [f"  continues trial {last.continues}"] if last.continues is not None else []
            notes += [f"  {last.reason}"] if last.reason else []
            self.say(f"trial {last.trial:4}  {accuracy_text(last.accuracy)} %  {latency_text(last.latency_ms)} ms"
                     f"{''.join(notes)}  ({counts}){star}")
            for target, latency in last.costs.latencies.items():
                for flag in () if latency.is_predicted else latency.flags:
                    self.say(f"            doubtful on {target}: {flag}")
        elif last is not None and last.state == "failed":
            self.say(f"trial {last.trial:4}  failed: {last.reason}")
        note = f"{counts}; best {accuracy_text(best.accuracy)} %" if best else counts
        self._progress.update(self._task, completed=tally.tried, total=self._trials, note=note)

"""The command of a worker."""

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Targets, Trust, given

StudyOption = Annotated[str, typer.Option(metavar="NAME", help="study of the storage  [the only one]",
                                          show_default=False)]


def join_search(
    where: Annotated[str, typer.Argument(metavar="RUN_OR_URL", help="run directory, or URL of a storage")],
    study: StudyOption = "",
    data: Annotated[str | None, typer.Option(help="where the data of the search are here  [as in the search]",
                                             show_default=False)] = None,
    space: Annotated[str | None, typer.Option(help="where FILE.toml of its space is here  [as in the search]",
                                              show_default=False)] = None,
    evaluator: Annotated[str | None, typer.Option(help="its evaluator module:function, given again",
                                                  show_default=False)] = None,
    strategy: Annotated[str | None, typer.Option(help="its strategy module:Name, given again",
                                                 show_default=False)] = None,
    target: Targets = None,
    times: Annotated[list[str] | None, typer.Option(
        metavar="TARGET", help="propose and time only, on all targets of the search, each named, or `all`",
        show_default=False)] = None,
    trains: Annotated[bool, typer.Option("--trains", help="train only, what others have timed")] = False,
    run: Annotated[Path | None, typer.Option(
        metavar="DIR", help="directory of this worker, for a storage  [runs/STUDY-HOST-PROCESS]",
        show_default=False)] = None,
    trust: Trust = False,
) -> None:
    """Work on a search that another process has begun, until it ends."""
    from evaluators.machine.memory import use_huge_pages
    from nas.api import Run
    from nas.cli.terminal import Terminal, console_on_stdout, print_front
    from nas.engine import joining
    from nas.run.directory import RunDirectory
    from nas.run.server import StudyDatabase, is_url

    use_huge_pages()
    console = console_on_stdout()
    named = (study or "study").replace(os.sep, "_")
    path = run or Path("runs") / f"{named}-{socket.gethostname()}-{os.getpid()}"
    code = given(evaluator=evaluator, strategy=strategy, target=target)
    try:
        with Terminal(console) as monitor:
            found = joining.join_search(where, study, path, {**given(data=data, space=space), **code}, monitor,
                                        trust or tuple(code), times=times or (), trains=trains)
    except KeyboardInterrupt:
        run_so_far = RunDirectory(path, StudyDatabase(where, study)) if is_url(where) else RunDirectory(Path(where))
        if run_so_far.exists:
            print_front(Run(run_so_far), console)
        raise
    found.outlasting(monitor.say, lambda: print_front(Run(found), console))

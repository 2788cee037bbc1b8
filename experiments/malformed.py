"""Malformed inputs: does `nas` refuse every one in a line, soon, within little memory, and leave nothing half-written?

    nice -n 15 python -m experiments.malformed            # all 10,000; goes on where it was stopped
    python -m experiments.malformed --share 0.01 --record other.json

Each input is made of an intact one by its kind and number: texts, files and options with other numbers, pieces, bytes,
types and lengths (`experiments/malformed_inputs.py`). The command line reads it in a process that reads many; seconds
of the processor and peak memory are taken for each, and a process that does not answer is ended. An input is *refused*
if the command ends with status 1 or 2 and one printable line of at most 2,200 characters that names no exception;
*accepted* if it ends well, or is refused later for what is not malformed. The record is
`experiments/results/malformed.json`.

Takes 10 to 20 minutes on one core. Result: 9,297 of 10,000 refused in one line, 703 accepted; none led to a traceback,
took 3 s or 250 MB, or left anything half-written.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from unittest import mock

from evaluators.machine.files import write_whole
from evaluators.machine.memory import TUNABLES
from experiments.malformed_inputs import KINDS, intact_inputs

RECORD = Path(__file__).with_name("results") / "malformed.json"
OUTCOMES = ("refused", "accepted", "tracebacks", "over 10 s", "over 1 GB", "partial output")
MOST_S, MOST_BYTES, MOST_CHARACTERS = 10.0, 10**9, 2200
GIVEN_UP_S = 120.0
BATCH = 50
OF_THIS_PROCESS = "study.db-*"  # files of a database that is open; a command closes it when it ends


def outcome_of(status: int, errors: str, accepted: str) -> str:
    """Returns the outcome of a command by its status and what it has written to standard error."""
    if status == 0 or accepted in errors:
        return "accepted"
    lines = errors.splitlines()
    one_line = (len(lines) == 1 and lines[0].startswith("nas: ") and lines[0].isprintable()
                and len(lines[0]) <= MOST_CHARACTERS and "--debug" not in lines[0] and "Error:" not in lines[0])
    return "refused" if status in (1, 2) and one_line else "tracebacks"


def tried(kind: str, number: int, intact: Path) -> dict[str, Any]:
    """Returns the outcome of one input in this process, its time and the peak of the memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = KINDS[kind].make(random.Random(f"{kind} {number}"), intact, folder)
        before = set(folder.rglob("*"))
        _forget_peak()
        begin = time.process_time()
        status, errors = _called(arguments)
        found: dict[str, Any] = {"kind": kind, "number": number, "seconds": round(time.process_time() - begin, 2),
                                 "megabytes": _peak_bytes() // 10**6,
                                 "outcome": outcome_of(status, errors, KINDS[kind].accepted)}
        left = [path for path in set(folder.rglob("*")) - before if not path.match(OF_THIS_PROCESS)]
        if left and status:
            found["left"] = sorted(path.name for path in left)[:3]
        if found["outcome"] == "tracebacks":
            found["errors"] = errors[-300:]
        return found


def _called(arguments: list[str]) -> tuple[int, str]:
    from nas.cli import main

    errors = io.StringIO()
    with (mock.patch.object(sys, "argv", ["nas", *arguments]), contextlib.redirect_stdout(io.StringIO()),
          contextlib.redirect_stderr(errors)):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), errors.getvalue()
        except BaseException as error:  # what the command line let through
            return 1, f"{errors.getvalue()}{type(error).__name__}: {error}"
    return 0, errors.getvalue()


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    """Returns the peak of the memory of this process since it was forgotten, or since its begin where it cannot be."""
    with contextlib.suppress(OSError, StopIteration, IndexError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _answers(kind: str, first: int, last: int, intact: Path) -> Iterator[dict[str, Any]]:
    """Yields the outcomes of inputs in processes of their own, the next one after each that does not answer."""
    while first < last:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.malformed", "--child", kind, str(first), str(last), str(intact)],
            bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={TUNABLES: "", **os.environ})
        assert process.stdout is not None
        try:
            for line in _lines(process.stdout):
                yield json.loads(line)
                first += 1
        finally:
            ended = _ended(process)
        if first < last:
            yield {"kind": kind, "number": first, "seconds": 0.0 if ended else GIVEN_UP_S, "megabytes": 0,
                   "outcome": "tracebacks" if ended else "over 10 s"}
            first += 1


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Returns whether a process has ended by itself, and sees to it that it has."""
    try:
        process.wait(timeout=5)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def _lines(output: IO[bytes]) -> Iterator[bytes]:
    """Yields the lines of a process, until it ends or does not answer."""
    while select.select([output], [], [], GIVEN_UP_S)[0]:
        line = output.readline()
        if not line:
            return
        yield line


def counted(counts: dict[str, int], one: dict[str, Any]) -> dict[str, int]:
    """Returns the counts of a kind with one input more."""
    marks = {one["outcome"]: 1, "over 10 s": one["seconds"] > MOST_S,
             "over 1 GB": one["megabytes"] * 10**6 > MOST_BYTES, "partial output": "left" in one}
    return {"tried": counts.get("tried", 0) + 1,
            **{name: counts.get(name, 0) + int(marks.get(name, 0)) for name in OUTCOMES},
            "slowest_s": max(counts.get("slowest_s", 0), one["seconds"]),
            "most_megabytes": max(counts.get("most_megabytes", 0), one["megabytes"])}


def table(kinds: dict[str, dict[str, int]]) -> str:
    """Returns the counts of each kind as lines of Markdown."""
    columns = ("tried", *OUTCOMES, "slowest_s", "most_megabytes")
    total = {name: (max if name.startswith(("slowest", "most")) else sum)(row[name] for row in kinds.values())
             for name in columns}
    titles = ("tried", "refused in one line", *OUTCOMES[1:], "slowest (s)", "peak (MB)")
    lines = [f"| kind of input | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    lines += [f"| {kind} | {' | '.join(f'{row[name]:,}' for name in columns)} |"
              for kind, row in {**kinds, "all": total}.items()]
    return "\n".join(lines)


def main() -> None:
    """Tries all inputs that have not been tried, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--share", type=float, default=1.0, help="of the inputs of each kind")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, first, last, intact = arguments.child
        answers = sys.stdout
        for number in range(int(first), int(last)):
            print(json.dumps(tried(kind, number, Path(intact))), file=answers, flush=True)
        return
    content = json.loads(arguments.record.read_text()) if arguments.record.exists() else {"kinds": {}, "notable": []}
    intact = Path(tempfile.mkdtemp(prefix="intact-"))
    try:
        intact_inputs(intact)
        for kind, wanted in KINDS.items():
            counts = content["kinds"].get(kind, {})
            for one in _answers(kind, counts.get("tried", 0), round(arguments.share * wanted.count), intact):
                counts = content["kinds"][kind] = counted(counts, one)
                if sum(counts[name] for name in OUTCOMES[2:]) > sum(
                        1 for known in content["notable"] if known["kind"] == kind):
                    content["notable"].append(one)
                if counts["tried"] % BATCH == 0:
                    write_whole(arguments.record, (json.dumps(content, indent=1) + "\n").encode())
            write_whole(arguments.record, (json.dumps(content, indent=1) + "\n").encode())
    finally:
        shutil.rmtree(intact, ignore_errors=True)
    print(table(content["kinds"]))


if __name__ == "__main__":
    main()

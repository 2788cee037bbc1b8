import io

import pytest
from rich.console import Console
from rich.table import Table

from evaluators.latency import Latency
from nas.cli.terminal import Terminal, console_on_stderr, console_on_stdout
from nas.engine.search import run_search
from nas.problem.candidate import Candidate
from nas.problem.costs import Costs
from nas.trials.tally import Tally


def candidate(**changes):
    values = {"trial": 7, "architecture": "in+7", "accuracy": 0.875, "epochs": 3,
              "trained": True, "costs": Costs(1, 1, 1, 1, {"onnxruntime": Latency.exact(0.1234)}), "violations": {},
              "state": "complete"}
    return Candidate(**(values | changes))


def shown(terminal, use):
    file = io.StringIO()
    with Terminal(Console(file=file, force_terminal=terminal, width=120, color_system=None), trials=20) as monitor:
        use(monitor)
        if terminal:
            monitor._progress.refresh()
    return file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_trained_candidate_is_a_line_with_the_counts(terminal):
    text = shown(terminal, lambda monitor: monitor.told(Tally(3, 12, 1, 0), candidate(), candidate()))
    line = next(line for line in text.splitlines() if "trial    7" in line)
    for part in ("87.5", "0.123", "3 trained, 12 rejected, 1 duplicate, 0 failed", "*"):
        assert part in line


def test_only_the_best_has_a_star():
    text = shown(False, lambda monitor: monitor.told(Tally(3), candidate(), candidate(architecture="in+8")))
    assert "*" not in text


def test_a_failed_candidate_is_a_line_with_its_reason():
    failed = candidate(state="failed", trained=False, accuracy=None, reason="Diverged: the loss is [nan]")
    text = shown(False, lambda monitor: monitor.told(Tally(failed=1), failed, None))
    assert "failed: Diverged: the loss is [nan]" in text


def test_rejected_candidates_are_counted_without_a_line():
    rejected = candidate(trained=False, accuracy=None, epochs=0)
    assert shown(False, lambda monitor: monitor.told(Tally(0, 1, 0, 0), rejected, None)) == ""
    live = shown(True, lambda monitor: monitor.told(Tally(2, 5, 0, 0), rejected, candidate(accuracy=0.625)))
    assert "2 trained, 5 rejected" in live
    assert "best 62.5" in live
    assert "2/20" in live


def test_a_stopped_candidate_is_a_line_with_its_reason_and_a_promoted_one_says_whom_it_continues():
    stopped = candidate(epochs=1, trained=False, reason="stopped after 1 of 9 epochs")
    text = shown(False, lambda monitor: monitor.told(Tally(3, stopped=2), stopped, candidate(architecture="in+8")))
    for part in ("87.5", "stopped after 1 of 9 epochs", "3 trained, 2 stopped, 0 rejected"):
        assert part in text
    live = shown(True, lambda monitor: monitor.told(Tally(3, stopped=2), candidate(continues=4), None))
    assert "continues trial 4" in live
    assert "5/20" in live


def test_the_live_line_names_the_trial_and_what_is_done_to_it():
    assert "trial 4: training" in shown(True, lambda monitor: monitor.phase(4, "training"))


def test_a_preparation_is_one_line_where_there_is_no_terminal():
    def prepare(monitor):
        for done in range(1, 4):
            monitor.progress("measuring members", done, 3)
    assert shown(False, prepare) == "measuring members ...\n"
    assert "3/3" in shown(True, prepare)


def test_markup_in_a_line_is_printed_as_it_is():
    assert shown(False, lambda monitor: monitor.say("run: runs/[bold]a")) == "run: runs/[bold]a\n"


def test_a_whole_search_is_shown(make_config, gauge, tmp_path):
    config = make_config(trials=3, latency_ms=1.0)
    text = shown(False, lambda monitor: run_search(config, tmp_path / "run", monitor, gauge))
    lines = text.splitlines()
    assert lines[0].startswith("data: data.npz, 2 classes (0, 1), 12 pixels; ")
    assert "a member of the space meets them" in text
    trials = [line for line in lines if line.startswith("trial")]
    assert len(trials) == 3
    assert "3 trained" in trials[-1]
    assert "timing the front again ..." in lines[lines.index(trials[-1]):]


def test_no_name_is_folded_in_a_file(capsys):
    table = Table()
    table.add_row(*["model-int8-weights.onnx"] * 9)
    console_on_stdout().print(table)
    console_on_stderr().print(table)
    for shown in capsys.readouterr():
        assert shown.count("model-int8-weights.onnx") == 9


def test_what_is_printed_shows_control_characters_and_markup_instead_of_obeying_them(capsys):
    table = Table()
    table.add_row("cell\x1b[31m", "[red]x[/nothing] :smile:")
    console_on_stdout().print("line\x08\x1b7 one\nline two\x9b2J", table, "größe µ", highlight=False)
    shown = capsys.readouterr().out
    assert "line\\x1b7 one\nline two\\x9b2J\n" in shown and "größe µ" in shown
    assert r"cell\x1b[31m" in shown and "[red]x[/nothing] :smile:" in shown
    assert all(line.isprintable() for line in shown.splitlines())

import io
import json
import re
import shutil
from functools import partial

import pytest
from rich.console import Console

from evaluators.latency import Latency
from nas.measuring import blocks
from nas.measuring.blocks import BlockTimes
from nas.report.layers import layer_rows, time_table
from search_spaces.architecture import Architecture

NETWORK = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+head_c16_relu_n2")


@pytest.fixture
def times():
    """The times of three blocks: 1 ms, 3 ms, and less than can be told from nothing."""
    def timed(latency_ms, flags=()):
        return Latency(latency_ms, latency_ms - 0.1, latency_ms + 0.1, latency_ms, 10, 0.1, 0.1, 0.1, 0.0, flags=flags)

    return BlockTimes("onnxruntime", (timed(1), timed(2), timed(5), timed(4.9, ("slow spells",))))


def printed(table):
    console = Console(width=100, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def bars(text):
    """Returns the lines of the blocks of a table of times."""
    return [line for line in text.splitlines() if re.match(r"\s+\d .* ± ", line)]


def test_each_block_has_a_bar_as_long_as_its_time(times):
    text = printed(time_table(NETWORK, times))
    lines = bars(text)
    assert [line.count("█") for line in lines] == [8, 24, 0]
    assert [re.search(r"(-?[\d.]+) ± ([\d.]+)", line).groups() for line in lines] == [
        ("1", "0.1"), ("3", "0.1"), ("-0.1", "0.1")]
    assert [re.search(r"(\d+)%", line)[1] for line in lines] == ["20", "61", "0"]
    words = " ".join(text.split())
    assert "measured on onnxruntime" in words
    assert "1 of 4 timings are in doubt, the first as slow spells." in words


def test_the_command_measures_the_blocks_on_a_target_and_a_run_keeps_them(nas, table_run, gauge, monkeypatch, tmp_path):
    monkeypatch.setattr(blocks, "time_blocks", partial(blocks.time_blocks, gauge=gauge))
    status, out, _ = nas("show", NETWORK.text, "--time-blocks", "--target", "litert:threads=2")
    assert (status, len(bars(out))) == (0, 3)
    assert "Times were measured on litert:threads=2" in out
    assert nas("show", NETWORK.text, "--target", "litert")[::2] == (
        2, "nas: `--target` is where `--time-blocks` measures, but got 'litert' alone\n")
    run = shutil.copytree(table_run, tmp_path / "run")
    assert not bars(nas("show", run)[1])
    measured = bars(nas("show", run, "--time-blocks")[1])
    assert measured == bars(nas("show", run)[1]) != []
    rows = [row for row in json.loads(nas("show", run, "--json")[1]) if row["layer"] is None]
    assert [f"{row['time_ms']:.2g}" for row in rows] == [line.split()[2] for line in measured]


def test_rows_have_the_times_of_blocks(times):
    rows = layer_rows(NETWORK, times)
    assert [row["time_ms"] for row in rows if row["layer"] is None] == pytest.approx([1, 3, -0.1])
    assert {row["time_ms"] for row in rows if row["layer"] is not None} == {None}

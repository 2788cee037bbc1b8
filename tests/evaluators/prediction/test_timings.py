import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.prediction.rows import Row
from evaluators.prediction.timings import Timings, read_rows
from search_spaces import Architecture, InvalidInput

A = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+head_c16_relu_n2")
B = Architecture.parse("in_r12_c1+conv_k5_c8_s2_relu+head_c16_relu_n2")


def test_rows_are_read_by_the_names_of_their_columns_whatever_stands_beside_them(tmp_path):
    (tmp_path / "rows.csv").write_text(f"device,latency_ms,architecture\nx,0.5,{A}\nx,1e-2,{B}\ny,0.6,{A}\n")
    assert read_rows(tmp_path / "rows.csv") == [Row(A, 0.5), Row(B, 0.01), Row(A, 0.6)]


@pytest.mark.parametrize(("content", "rule"), [
    ("", "must be a CSV file with the columns architecture and latency_ms, but got '.*': it lacks the columns "
         "architecture, latency_ms"),
    ("architecture,ms\n", "lacks the columns latency_ms"),
    (f"architecture,latency_ms\n{'x' * 200_000},1\n", r"field larger than field limit \(131072\)"),
    ("architecture,latency_ms\n", "has rows, but '.*' has none"),
    (f"architecture,latency_ms\n{A},0.5\n{A},-1\n", r"a nanosecond to a day, but got -1 ms \(line 3 of '.*'\)"),
    (f"architecture,latency_ms\n{A},0\n", r"takes from a nanosecond to a day, but got 0 ms \(line 2 "),
    (f"architecture,latency_ms\n{A},nan\n", "takes from a nanosecond to a day, but got nan ms"),
    (f"architecture,latency_ms\n{A},0.5\n{A},1e-300\n", r"to a day, but got 1e-300 ms \(line 3 of '.*'\)"),
    (f"architecture,latency_ms,reference_ms\n{A},0.5,1e9\n", r"to a day, but got 1e\+09 ms \(line 2 of '.*'\)"),
    (f"architecture,latency_ms\n{A},fast\n", "a latency is a number of milliseconds, but got 'fast'"),
    (f"architecture,latency_ms\n{A}\n", "a latency is a number of milliseconds, but got ''"),
    ("architecture,latency_ms\nresnet,0.5\n", r"\(line 2 of "),
    ("architecture,latency_ms\nin_r12_c1+cnv_k3_c8+head_c16_relu_n2,0.5\n", "did you mean 'conv'"),
    (f"architecture,latency_ms,reference_ms\n{A},0.5,slow\n", "number of milliseconds, but got 'slow'"),
    (b"architecture,latency_ms\n\xff,1\n", "must be a CSV file"),
])
def test_a_table_with_something_else_in_it_is_refused_in_one_line_that_names_where(content, rule, tmp_path):
    (tmp_path / "rows.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidInput, match=rule):
        read_rows(tmp_path / "rows.csv")


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"must be a CSV file .* but got '.*': No such file"):
        read_rows(tmp_path / "rows.csv")


def test_timings_are_kept_in_order_for_each_target(tmp_path):
    timings = Timings(tmp_path / "timings.csv")
    assert timings.rows("onnxruntime") == []
    command = 'command:bench "{model}", twice'
    for target, row in (("onnxruntime", (A, 0.5)), (command, (B, 0.25)), ("onnxruntime", Row(B, 0.125, 0.0145))):
        timings.add(target, row)
    assert Timings(tmp_path / "timings.csv").rows("onnxruntime") == [Row(A, 0.5), Row(B, 0.125, 0.0145)]
    assert timings.rows(command) == [Row(B, 0.25)]
    assert read_rows(tmp_path / "timings.csv", "onnxruntime") == [Row(A, 0.5), Row(B, 0.125, 0.0145)]
    with pytest.raises(InvalidInput, match=r"of one target, but '.*' has rows of command:.*, onnxruntime"):
        read_rows(tmp_path / "timings.csv")
    with pytest.raises(InvalidInput, match=r"has rows, but '.*' has none of litert"):
        read_rows(tmp_path / "timings.csv", "litert")


def test_rows_that_state_no_target_are_of_any(tmp_path):
    (tmp_path / "rows.csv").write_text(f"architecture,latency_ms\n{A},0.5\n")
    assert read_rows(tmp_path / "rows.csv", "litert") == [Row(A, 0.5)]


def test_timings_of_several_processes_do_not_mix(tmp_path):
    script = ("import sys; from evaluators.prediction.timings import Timings, Architecture; from pathlib import Path\n"
              "for _ in range(200): Timings(Path(sys.argv[1])).add('xla', (Architecture.parse(sys.argv[2]), 0.5))")
    command = [sys.executable, "-c", script, tmp_path / "timings.csv", A.text]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[3]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert Timings(tmp_path / "timings.csv").rows("xla") == 600 * [Row(A, 0.5)]


@given(st.floats(1e-6, 1e6))
def test_a_latency_is_kept_to_six_digits(tmp_path_factory, latency_ms):
    timings = Timings(tmp_path_factory.mktemp("kept") / "timings.csv")
    timings.add("onnxruntime", (A, latency_ms))
    assert timings.rows("onnxruntime")[0][1] == pytest.approx(latency_ms, rel=1e-5)


def test_lines_that_have_no_room_leave_no_part_of_them(tmp_path, little_room):
    timings = Timings(tmp_path / "timings.csv")
    with little_room, pytest.raises(OSError, match="No space left on device") as raised:
        timings.add("onnxruntime", Row(A, 0.5), Row(B, 0.25))
    assert raised.value.filename == str(timings.path)
    assert timings.path.read_bytes() == b""
    timings.add("onnxruntime", Row(A, 0.5))
    assert timings.rows("onnxruntime") == [Row(A, 0.5)]

import csv
import io
import json
from pathlib import Path

import pytest

from nas.cli.output import Output
from nas.problem.budgets import Budgets
from nas.report.plot import draw_front
from search_spaces import InvalidInput
from search_spaces.zoo import ZOO

ROWS = [{"name": 'a "b", c', "value": 0.5, "interval": [0.1, 1.0]}, {"name": "d", "value": None, "interval": None}]
NETWORK = "in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+head_c16_relu_n2"


def test_json_and_csv_have_the_same_rows(tmp_path, capsys):
    Output(True, tmp_path / "rows.csv").write(ROWS)
    assert json.loads(capsys.readouterr().out) == ROWS
    with (tmp_path / "rows.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [row["name"] for row in cells] == ['a "b", c', "d"]
    assert [json.loads(cells[0][name]) for name in ("value", "interval")] == [0.5, [0.1, 1.0]]
    assert (cells[1]["value"], cells[1]["interval"]) == ("", "")


@pytest.mark.parametrize("asked", [{"json": True, "csv": Path("-")}, {"csv": Path("-"), "svg": Path("/dev/stdout")}])
def test_standard_output_takes_one_form(asked):
    with pytest.raises(InvalidInput, match="standard output takes one of"):
        Output(**asked)


@pytest.mark.parametrize(("asked", "rule"), [
    ({"svg": Path("a.png")}, "`--svg` takes a name that ends in .svg, but got 'a.png'"),
    ({"png": Path("a.svg")}, "`--png` takes a name that ends in .png"),
    ({"csv": Path("nowhere/a.csv")}, "a directory that is there, but got 'nowhere/a.csv'")])
def test_a_name_that_cannot_be_is_refused_before_anything_is_done(asked, rule):
    with pytest.raises(InvalidInput, match=rule):
        Output(**asked)


def test_readers_are_told_on_standard_error_where_a_program_reads_the_other():
    assert not Output().takes_stdout
    assert not Output(csv=Path("a.csv")).takes_stdout
    assert Output(json=True).console.stderr
    assert not Output().console.stderr


def test_a_picture_is_drawn_once_for_both_kinds(tmp_path):
    drawn = []
    Output(png=tmp_path / "a.png", svg=tmp_path / "a.svg").write(
        [], draw=lambda: drawn.append(0) or draw_front([], Budgets()))
    assert drawn == [0]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_a_picture_of_a_front_without_latencies_is_said_to_be_empty(nas, table_run, tmp_path):
    said = "the picture is empty"
    assert said in nas("pareto", table_run, "--svg", tmp_path / "a.svg")[1]
    assert said in nas("pareto", table_run, "--png", "-")[2]
    assert said not in "".join(nas("pareto", table_run)[1:])


def test_the_zoo_is_a_row_for_each_network(nas):
    rows = json.loads(nas("zoo", "--json")[1])
    assert [row["name"] for row in rows] == list(ZOO)
    assert {row["name"]: row["params"] for row in rows}["mobilenet_v1"] == 4_231_976  # 4.2 million in the paper
    table = list(csv.DictReader(io.StringIO(nas("zoo", "--family", "squeezenet", "--csv", "-")[1])))
    assert {row["family"] for row in table} == {"squeezenet"}


def test_a_space_is_a_row_for_each_quantity(nas, inputs, tmp_path):
    (tmp_path / "two.toml").write_text('stages = ["conv_k3/5_c8_s2_relu", "head_c16_relu"]')
    status, out, err = nas("space", tmp_path / "two.toml", "--data", inputs / "data.npz", "--json")
    rows = {row["quantity"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["macs"]["p0"] <= rows["macs"]["p50"] <= rows["macs"]["p100"]
    assert "architectures" in err


def test_layers_are_rows_that_add_up_to_their_blocks(nas):
    rows = json.loads(nas("show", NETWORK, "--json")[1])
    blocks = [row for row in rows if row["layer"] is None]
    assert [row["what"] for row in blocks] == NETWORK.split("+")[1:]
    for quantity in ("params", "macs"):
        for block in blocks:
            own = [row[quantity] for row in rows if row["block"] == block["block"] and row is not block]
            assert sum(own) == block[quantity]
    assert {row["time_ms"] for row in rows} == {None}

import dataclasses

import pytest

from evaluators.latency import Precision
from evaluators.prediction.predictor import FEWEST, Predictor, fit
from evaluators.prediction.timings import read_rows
from nas.measuring.calibration import fit_to_tables, require_trusted_command
from search_spaces.errors import InvalidInput


@pytest.fixture(scope="module")
def directory(inputs, tmp_path_factory):
    """A directory of a user with a space and data."""
    made = tmp_path_factory.mktemp("workplace")
    for name in ("space.toml", "data.npz"):
        (made / name).write_bytes((inputs / name).read_bytes())
    return made


SPACE = ("--space", "space.toml", "--data", "data.npz")


def test_a_predictor_is_fitted_on_a_real_runtime_asked_and_checked(nas, directory, monkeypatch):
    monkeypatch.chdir(directory)
    monkeypatch.setattr("nas.measuring.calibration.CAREFUL", Precision(half_width=1, at_least_s=0.05, at_most_s=0.2))
    status, out, err = nas("latency", "fit", *SPACE, "--target", "onnxruntime:batch=2", "--networks", FEWEST,
                           "--out", "real.json")
    assert (status, err) == (0, "")
    assert f"real.json: learned from {FEWEST} timings on onnxruntime:batch=2" in out
    rows = read_rows("real.csv")
    assert len(rows) == FEWEST

    asked, latency_ms, reference_ms = rows[0]
    assert reference_ms > 0
    status, out, err = nas("latency", "predict", "real.json", asked, rows[1][0])
    assert (status, err, out.count("\n")) == (0, "", 2)
    text, _, architecture = out.splitlines()[0].partition(" ms  ")
    low_ms, high_ms = map(float, text.partition(" ")[2].strip("[]").split(", "))
    assert low_ms <= float(text.partition(" ")[0]) <= high_ms
    assert 0.5 < float(text.partition(" ")[0]) / latency_ms < 2
    assert architecture == asked.text

    status, out, err = nas("latency", "check", "real.json", "--networks", "3")
    assert (status, err) == (0, "")
    for words in ("predictor", "line through MACs", "median error", "Kendall tau", "3 members of the space"):
        assert words in out


def test_tables_from_anywhere_give_a_predictor(nas, directory, all_members, monkeypatch, tmp_path):
    monkeypatch.chdir(directory)
    lines = [f"{member},{member.macs / 1e6}" for member in list(all_members.values())[:24]]
    for name, part in (("a.csv", lines[:12]), ("b.csv", lines[12:])):
        (tmp_path / name).write_text("\n".join(["architecture,latency_ms", *part]))
    status, out, err = nas("latency", "fit", "--rows", tmp_path / "a.csv", "--rows", tmp_path / "b.csv", "--out",
                           tmp_path / "new.json")
    assert (status, err) == (0, "")
    assert out == f"{tmp_path}/new.json: learned from 24 timings\n"
    assert len(Predictor.load(tmp_path / "new.json").rows) == 24


def test_the_command_of_a_predictor_of_another_is_run_with_trust_only(nas, directory, all_members, monkeypatch):
    monkeypatch.chdir(directory)
    target = "command:touch started; echo 1 ms; echo 1 ms; true {model}"
    fit([(member, member.macs / 1e6) for member in list(all_members.values())[:FEWEST]], target).save("handed.json")
    check = ("latency", "check", "handed.json", *SPACE, "--networks", "2")
    status, out, err = nas(*check)
    assert (status, out) == (2, "")
    assert "with `--trust`, but 'handed.json' names command 'touch started; echo 1 ms;" in err
    assert nas("latency", "predict", "handed.json", str(next(iter(all_members.values()))))[0] == 0
    assert not (directory / "started").exists()
    for trust in (("--trust",), ()):
        status, _, err = nas(*check, *trust)
        assert (status, err) == (0, "")


def test_the_command_of_an_own_predictor_is_known(all_members, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(["architecture,latency_ms", *(
        f"{member},{member.macs / 1e6}" for member in list(all_members.values())[:FEWEST])]))
    own = fit_to_tables([rows], tmp_path / "own.json", "command:true {model}")
    require_trusted_command(own, tmp_path / "own.json", trust=False)
    with pytest.raises(InvalidInput, match="names command 'true "):
        require_trusted_command(dataclasses.replace(own, rows=own.rows[1:]), tmp_path / "own.json", trust=False)


WRONG = [
    (("fit",), "Missing option '--out'"),
    (("fit", "--out", "new.csv", *SPACE), "beside the CSV file of its timings"),
    (("fit", "--out", "new.json", *SPACE, "--networks", "3"), f"`networks` must be at least {FEWEST}, but got 3"),
    (("fit", "--out", "new.json", *SPACE, "--target", "onnxruntim"), "unknown runtime 'onnxruntim'"),
    (("fit", "--out", "new.json", *SPACE, "--target", "table:negative.csv"), "a table is given as `--rows`"),
    (("fit", "--out", "new.json", "--space", "mobil"), "unknown space 'mobil'"),
    (("fit", "--out", "new.json", "--data", "table:learning-curves"), "latencies are those of a space, but got"),
    (("fit", "--out", "new.json", "--rows", "missing.csv"), "latency_ms, but got 'missing.csv': No such file"),
    (("fit", "--out", "new.json", "--rows", "negative.csv"), "takes from a nanosecond to a day, but got -1 ms"),
    (("fit", "--out", "new.json", "--rows", "empty.csv"), "has rows, but 'empty.csv' has none"),
    (("fit", "--out", "new.json", "--rows", "strange.csv"), "(line 2 of 'strange.csv')"),
    (("fit", "--out", "new.json", "--rows", "negative.csv", "--networks", "20"), "timed where no table is given"),
    (("predict", "missing.json", "resnet18"), "'missing.json' is not: No such file or directory"),
    (("predict", "negative.csv", "resnet18"), "a predictor must be as `save` has written it"),
    (("predict", "other.json"), "Missing argument"),
    (("predict", "other.json", "resnet17"), "unknown network 'resnet17'"),
    (("check", "missing.json"), "is not: No such file or directory"),
    (("check", "anywhere.json"), "a check needs `--space`, since 'anywhere.json' was learned from a table"),
    (("check", "anywhere.json", *SPACE), "a check needs a target, but 'anywhere.json' states none"),
    (("check", "other.json", "--space", "mobile"), "must know at least 10 members of the space"),
    (("check", "other.json", *SPACE, "--networks", "1"), "`networks` must be at least 2, but got 1"),
]


@pytest.mark.parametrize(("arguments", "rule"), WRONG, ids=[" ".join(arguments)[:60] for arguments, _ in WRONG])
def test_wrong_input_is_one_line_and_writes_nothing(arguments, rule, nas, inputs, all_members, tmp_path, monkeypatch):
    for name in ("space.toml", "data.npz"):
        (tmp_path / name).write_bytes((inputs / name).read_bytes())
    rows = [(member, member.macs / 1e6) for member in list(all_members.values())[:FEWEST]]
    fit(rows, "onnxruntime").save(tmp_path / "other.json")
    fit(rows).save(tmp_path / "anywhere.json")
    (tmp_path / "empty.csv").write_text("architecture,latency_ms\n")
    (tmp_path / "negative.csv").write_text(f"architecture,latency_ms\n{rows[0][0]},-1\n")
    (tmp_path / "strange.csv").write_text("architecture,latency_ms\nphone,1\n")
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    status, _, err = nas("latency", *arguments)
    assert status == 2
    assert rule in err
    assert err.startswith("nas: ")
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

"""Every reader of files and options, by seeded inputs of the experiment: few of each kind, as the suite has no time."""

import json
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.runtimes import parse_target
from experiments.malformed import RECORD, counted, outcome_of, table, tried
from experiments.malformed_inputs import KINDS, OPTIONS, damaged_bytes, damaged_text, intact_inputs
from nas.engine.successive_halving import parse_rungs
from nas.export.certificate import CERTIFICATE, read_export
from nas.export.finals import parse_finals
from nas.problem.quantities import QUANTITIES, parse_duration_s, parse_percentile, parse_quantity
from nas.run.config import SearchConfig
from nas.run.directory import Resolved, RunDirectory
from search_spaces import InvalidInput

QUICK = [kind for kind in KINDS if kind not in ("run.toml", "certificate", "weights to import")]
seeds = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("intact")
    intact_inputs(folder, whole=False)
    return folder


@pytest.mark.parametrize("kind", QUICK)
def test_a_malformed_input_is_refused_in_one_line_and_nothing_is_left(kind, intact, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or a search replaces this process by one of large pages
    for number in range(6):
        found = tried(kind, number, intact)
        assert found["outcome"] in ("refused", "accepted") and "left" not in found, found
        assert found["seconds"] < 10, found


@settings(deadline=None)
@given(seeds)
def test_damaged_options_are_refused_in_one_line(seed):
    chance = random.Random(seed)
    readers = {"--target": parse_target, "--time": parse_duration_s, "--rungs": parse_rungs, "--trials": parse_finals,
               **{f"--{name}": lambda text, name=name: parse_quantity(name, text) for name in QUANTITIES}}
    option = chance.choice([name for name in OPTIONS if name in readers])
    text = damaged_text(chance, chance.choice(OPTIONS[option]))
    parse_percentile(text)
    try:
        readers[option](text)
    except InvalidInput as error:
        assert str(error).isprintable() and len(str(error)) <= 2000


@settings(deadline=None)
@given(seeds)
def test_a_damaged_run_toml_is_refused_in_one_line(tmp_path_factory, seed):
    run = RunDirectory(tmp_path_factory.getbasetemp() / "damaged.run")
    run.write(SearchConfig(latency_ms=0.1), Resolved("in_r8_c1+head_c8_relu_n2", 8, 1, 2, "0123", "as given", 0.1))
    file = run.path / "run.toml"
    text = damaged_text(random.Random(seed), file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    again = RunDirectory(run.path)
    try:
        assert again.budgets.targets == again.config.targets
    except InvalidInput as error:
        assert str(error).isprintable() and "Error" not in str(error).partition(str(file))[2]
    finally:
        file.unlink()


@settings(deadline=None)
@given(seeds)
def test_a_damaged_certificate_is_refused_in_one_line(tmp_path_factory, seed):
    golden = (Path(__file__).parents[1] / "golden/certificate.json").read_text(encoding="utf-8")
    folder = tmp_path_factory.getbasetemp()
    (folder / CERTIFICATE).write_text(damaged_text(random.Random(seed), golden), errors="surrogatepass")
    with pytest.raises(InvalidInput) as error:  # at the latest since its files are not there
        read_export(folder)
    assert str(error.value).isprintable() and "Error" not in str(error.value)


def test_equal_seeds_make_equal_inputs():
    for damaged, content in ((damaged_text, "in_r8_c1+fc_n2"), (damaged_bytes, struct.pack("<4I", 1, 2, 3, 4))):
        assert damaged(random.Random(3), content) == damaged(random.Random(3), content)
        assert len({damaged(random.Random(seed), content) for seed in range(40)}) > 30


@pytest.mark.parametrize(("status", "errors", "outcome"), [
    (0, "", "accepted"), (2, "nas: a rule, but got 'x'\n", "refused"), (1, "nas: a rule\n", "refused"),
    (2, "nas: a rule\nand more\n", "tracebacks"), (2, "", "tracebacks"), (2, "nas: a \x1b[31m rule\n", "tracebacks"),
    (1, "nas: KeyError: 'x' (`nas --debug COMMAND ...` shows where)\n", "tracebacks"), (139, "nas: x\n", "tracebacks"),
    (2, f"nas: {'x' * 3000}\n", "tracebacks"), (2, "nas: must be there, but got 'nowhere'\n", "accepted"),
])
def test_an_outcome_is_judged_by_status_and_line(status, errors, outcome):
    assert outcome_of(status, errors, "nowhere") == outcome


def test_the_table_of_the_document_is_that_of_the_record():
    document = (Path(__file__).parents[2] / "docs/security.md").read_text(encoding="utf-8")
    kinds = json.loads(RECORD.read_text(encoding="utf-8"))["kinds"]
    assert table(kinds) in document
    assert {kind: counts["tried"] for kind, counts in kinds.items()} == {kind: KINDS[kind].count for kind in KINDS}


def test_inputs_are_counted_by_their_outcomes_and_marks():
    counts = {}
    for seconds, megabytes, outcome, more in ((1.0, 50, "refused", {}), (11.0, 2000, "accepted", {}),
                                              (0.1, 10, "tracebacks", {"left": ["out"]})):
        counts = counted(counts, {"outcome": outcome, "seconds": seconds, "megabytes": megabytes, **more})
    assert counts == {"tried": 3, "refused": 1, "accepted": 1, "tracebacks": 1, "over 10 s": 1, "over 1 GB": 1,
                      "partial output": 1, "slowest_s": 11.0, "most_megabytes": 2000}
    rows = table({"one": counts, "other": json.loads(json.dumps(counts))}).splitlines()
    assert rows[2] == "| one | 3 | 1 | 1 | 1 | 1 | 1 | 1 | 11.0 | 2,000 |"
    assert rows[-1] == "| all | 6 | 2 | 2 | 2 | 2 | 2 | 2 | 11.0 | 2,000 |"

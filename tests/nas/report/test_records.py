import csv
import io
import json

from nas.report.records import COLUMNS, rows, to_csv, to_json

EXPECTED = ["trial", "architecture", "accuracy", "accuracy_ci", "epochs", "trained", "latency_ms", "latency_ci_ms",
            "macs", "params", "memory_bytes", "size_bytes", "feasible", "on_front", "latencies",
            "state", "reason", "duplicate_of", "accuracies", "continues", "taken_from",
            "compiled", "float32_accuracy", "log_loss", "by_hand"]


def test_there_is_a_row_for_every_candidate_by_trial_whatever_the_order(candidates):
    records = rows(candidates[::-1])
    assert [row["trial"] for row in records] == list(range(11))
    assert all(list(row) == EXPECTED for row in records)
    assert rows(candidates) == records


def test_a_row_says_what_the_candidate_is(candidates):
    row = rows(candidates)[7]
    low, high = row["accuracy_ci"]
    assert low < row["accuracy"] == 0.9125 < high
    assert row["latency_ci_ms"] == [0.085 * 0.98, 0.085 * 1.02]
    assert (row["trained"], row["feasible"], row["on_front"], row["size_bytes"]) == (True, True, True, 1_420_000)


def test_the_front_follows_the_objectives(candidates):
    assert [row["trial"] for row in rows(candidates) if row["on_front"]] == [1, 4, 7]
    assert [row["trial"] for row in rows(candidates, ["accuracy"]) if row["on_front"]] == [7]
    assert [row["trial"] for row in rows(candidates) if not row["feasible"]] == [2, 6, 8, 10]


def test_json_parses_back(candidates):
    records = rows(candidates)
    assert json.loads(to_json(records)) == records
    assert json.loads(to_json([])) == []


def test_csv_parses_back(candidates):
    records = rows(candidates)
    reader = csv.DictReader(io.StringIO(to_csv(records)))
    parsed = [{name: cell if name in ("architecture", "state") else json.loads(cell or "null")
               for name, cell in row.items()} for row in reader]
    assert parsed == records
    assert to_csv([], COLUMNS) == ",".join(COLUMNS) + "\n"

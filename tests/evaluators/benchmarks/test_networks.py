import csv
import gzip
import json

import pytest

from evaluators.benchmarks.networks import accel_nasbench, nas_bench_macro
from search_spaces import InvalidInput


@pytest.mark.parametrize(("key", "params", "macs"), [
    # rows of NAS-Bench-Macro (Su et al. 2021), file nas-bench-macro_cifar10.json
    ("02012100", 890_666, 47_327_744), ("11111221", 2_181_386, 65_012_224), ("00011110", 1_118_378, 31_390_208),
])
def test_networks_of_nas_bench_macro_cost_what_it_says(key, params, macs):
    architecture = nas_bench_macro(key)
    assert (architecture.params, architecture.macs) == (params, macs)


def test_all_keys_of_nas_bench_macro_cost_what_it_says_and_equal_networks_are_equal(published):
    found = json.loads(published("nas_bench_macro", "nas-bench-macro_cifar10.json").read_text())
    architectures = {key: nas_bench_macro(key) for key in found}
    assert len(architectures) == 6561
    wrong = [key for key, row in found.items()
             if (architectures[key].params, architectures[key].macs) != (row["params"], row["flops"])]
    assert not wrong
    by_id: dict[str, set[float]] = {}
    for key, architecture in architectures.items():
        by_id.setdefault(architecture.id, set()).add(found[key]["mean_acc"])
    assert len(by_id) == 3969
    assert all(len(accuracies) == 1 for accuracies in by_id.values()), "one network, one trained result"


def test_all_rows_of_accel_nasbench_have_the_parameters_it_says(published):
    with gzip.open(published("accel_nasbench_train", "accel_nasbench_train.csv.gz"), "rt") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 4100
    assert not [row["id"] for row in rows if accel_nasbench(row).params != round(float(row["params"]) * 1e6)]


@pytest.mark.parametrize("key", ["", "0201210", "020121003", "02012103", "0201210x"])
def test_a_wrong_key_is_told(key):
    with pytest.raises(InvalidInput, match="a key has eight digits of 0, 1 and 2, but got"):
        nas_bench_macro(key)

import dataclasses
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from evaluators.benchmarks.networks import accel_nasbench, nas_bench_macro
from evaluators.benchmarks.tables import OWN, TABLES, is_table, load_table
from evaluators.evaluator import Fidelity
from evaluators.latency import Precision
from evaluators.recipe import Recipe
from search_spaces import Architecture, InvalidInput

FILES = {"nas-bench-macro": ("nas_bench_macro", "nas-bench-macro_cifar10.json"),
         "accel-nasbench": ("accel_nasbench_train", "accel_nasbench_train.csv.gz")}
ROWS = {"02010100": 0.9, "22222222": 0.95, "00000000": 0.5}  # and a second key of the first network
NAMES = [f"block{block}_{option}" for block in range(7) for option in ("e", "k", "l", "se")]


@pytest.fixture
def macro(tmp_path):
    """A table of three networks in the form of NAS-Bench-Macro."""
    rows = {key: {"mean_acc": 100 * accuracy} for key, accuracy in [*ROWS.items(), ("02001100", 0.9)]}
    (tmp_path / "macro.json").write_text(json.dumps(rows))
    return load_table(f"table:nas-bench-macro:{tmp_path / 'macro.json'}")


@pytest.fixture
def accel(tmp_path):
    """A table of three networks in the form of Accel-NASBench, of which one was not timed."""
    lines = [",".join([*NAMES, "val_top1", "zcu102_latency_mean"])]
    for kernels, top1, latency in (("3333333", 50.0, "2.5"), ("5555555", 60.0, "4.0"), ("5333333", 55.0, "")):
        lines.append(",".join([*(f"1,{kernel},2,0" for kernel in kernels), str(top1), latency]))
    (tmp_path / "accel.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return load_table(f"table:accel-nasbench:{tmp_path / 'accel.csv.gz'}")


def network(**changes):
    return {name: {"e": 1, "k": 3, "l": 2, "se": 0}[name.partition("_")[2]] for name in NAMES} | changes


def test_a_table_tells_the_accuracy_of_each_of_its_networks(macro):
    for key, accuracy in ROWS.items():
        assert macro(nas_bench_macro(key), macro.dataset, Fidelity(Recipe(1))) == pytest.approx(accuracy)


def test_our_own_table_tells_the_accuracy_after_every_epoch_and_needs_no_file():
    table = load_table("table:learning-curves")
    assert table.space.size == len(table.curves) == 128
    assert table.epochs == 9
    recorded = (Path(__file__).parents[3] / "evaluators/benchmarks/learning_curves.csv").read_text().splitlines()[1:]
    for row in recorded[::17]:
        text, seed, macs, params, *accuracies = row.split(",")
        architecture = Architecture.parse(text)
        assert (architecture.macs, architecture.params) == (int(macs), int(params))
        for epochs, accuracy in enumerate(accuracies, 1):
            assert table(architecture, table.dataset, Fidelity(Recipe(9, seed=int(seed)), epochs)) == float(accuracy)
    curves = np.concatenate(list(table.curves.values()))
    assert (np.diff(curves.mean(axis=0)) > 0).all()  # as trainings do


def test_the_networks_of_our_own_table_are_a_whole_space():
    space = load_table("table:learning-curves").space
    for assignment in space.members.values():
        assert space.members[space.decode(assignment).id] == assignment


def test_a_table_tells_the_latencies_that_were_measured(accel):
    latency = accel.latency(accel_nasbench(network()), Precision())
    assert (latency.median_ms, latency.low_ms, latency.high_ms, latency.runs) == (2.5, 2.5, 2.5, 0)
    assert accel.space.size == 2


def test_keys_of_one_network_are_one_member(macro):
    space = macro.space
    keys = [dict(zip(space.parameters, map(int, key), strict=True)) for key in ("02001100", "02010100")]
    assert space.size == 3
    assert space.decode(keys[0]) == space.decode(keys[1])
    assert space.active(keys[0]) == space.active(keys[1]) == keys[1]


def test_random_members_and_neighbours_are_networks_of_the_table(accel):
    generator = np.random.default_rng(0)
    drawn = [accel.space.sample(generator) for _ in range(20)]
    assert {accel.space.decode(assignment).id for assignment in drawn} == set(accel.space.members)
    assert not list(accel.space.neighbours(drawn[0]))  # the two differ in seven kernels


def test_a_proposal_that_the_table_lacks_becomes_the_nearest_one_that_was_not_seen(accel):
    near, far = (accel_nasbench(network(**{f"block{block}_k": k for block in range(7)})) for k in (3, 5))
    proposal = network(block1_k=5, block2_k=5)
    with pytest.raises(InvalidInput, match="must be in the table"):
        accel.space.decode(proposal)
    assert accel.space.nearest(proposal, set()) == near
    assert accel.space.nearest(proposal, {near.id}) == far
    with pytest.raises(InvalidInput, match="all 2 were seen"):
        accel.space.nearest(proposal, {near.id, far.id})


def test_a_proposal_of_the_table_stays_what_it_is(accel):
    assert accel.space.nearest(network(), {accel_nasbench(network()).id}) == accel_nasbench(network())


def test_the_fingerprint_is_that_of_the_file(macro, tmp_path):
    other = json.loads((tmp_path / "macro.json").read_text()) | {"00000000": {"mean_acc": 51.0}}
    (tmp_path / "other.json").write_text(json.dumps(other))
    changed = load_table(f"table:nas-bench-macro:{tmp_path / 'other.json'}")
    assert changed.dataset.fingerprint != macro.dataset.fingerprint
    assert dataclasses.replace(macro.dataset).fingerprint == macro.dataset.fingerprint


@pytest.mark.parametrize(("data", "rule"), [
    ("table:nas-bench-mcro:x", "unknown table 'nas-bench-mcro'; did you mean 'nas-bench-macro'?"),
    ("table:accel-nasbench:", "a table is given as table:accel-nasbench:FILE"),
    ("table:nas-bench-macro:/nowhere/x.json", "the file must be that of nas-bench-macro, but '/nowhere/x.json' is"),
])
def test_a_table_that_is_none_is_told(data, rule):
    assert is_table(data)
    with pytest.raises(InvalidInput) as error:
        load_table(data)
    assert str(error.value).startswith(rule)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("content", [
    b"", b"{", b"{}", b"[1]", b"\x1f\x8b\x00", b"a,b\n1,2\n", b'{"22222222": 3}', b"\xff\xfe",
    b'{"22222222": {"mean_acc": 101}}', b'{"22222222": {"mean_acc": -1}}', b'{"22222222": {"mean_acc": NaN}}',
    b'{"22222222": {"accuracy": 90}}', 10**5 * b"[", b'{"22222222": ' + 5000 * b"9", b"x" * 200_000 + b"\n1"])
def test_a_file_of_something_else_is_told(name, content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InvalidInput, match=f"the file must be that of {name}, but"):
        load_table(f"table:{name}:{tmp_path / 'file'}")


@pytest.mark.parametrize(("name", "networks", "best"), [
    ("nas-bench-macro", 3969, 0.93127), ("accel-nasbench", 4098, 0.67052)])  # as published
def test_the_published_tables_are_read(name, networks, best, published):
    table = load_table(f"table:{name}:{published(*FILES[name])}")
    assert table.space.size == len(table.accuracies) == networks
    assert max(table.accuracies.values()) == pytest.approx(best, abs=1e-5)
    assert table.latencies_ms.keys() in (set(), table.accuracies.keys())


@pytest.mark.parametrize(("change", "reason"), [
    (("0.374", "1.374"), "an accuracy lies between 0 and 1, but line 2 has 1.374"),
    (("0.374", "nan"), "an accuracy lies between 0 and 1, but line 2 has nan"),
    (("architecture,seed", "network,seed"), "it lacks the columns architecture"),
    (("0.374", "high"), "could not convert string to float: 'high'"),
])
def test_a_table_with_a_wrong_value_is_refused_with_its_line(change, reason, tmp_path):
    (tmp_path / "file").write_text(Path(OWN["learning-curves"]).read_text().replace(*change, 1))
    with pytest.raises(InvalidInput, match=re.escape(reason)):
        load_table(f"table:learning-curves:{tmp_path / 'file'}")

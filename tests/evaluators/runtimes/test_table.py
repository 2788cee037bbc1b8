import numpy as np
import pytest

from evaluators.prediction.predictor import FEWEST, fit
from evaluators.runtimes import RUNTIMES, Options, parse_target, require_usable, runtime_of
from search_spaces import SPACES, InvalidInput

SPACE = SPACES["mobile"].bind(28, 1, 10)
GENERATOR = np.random.default_rng(0)
NETWORKS = [SPACE.decode(SPACE.sample(GENERATOR)) for _ in range(40)]
ROWS = [(network, network.macs / 1e7 + 0.01) for network in NETWORKS[:30]]


@pytest.fixture
def path(tmp_path):
    lines = [f"{network},{latency_ms}" for network, latency_ms in ROWS]
    (tmp_path / "phone.csv").write_text("\n".join(["architecture,latency_ms", *lines]))
    return tmp_path / "phone.csv"


def test_latencies_are_those_of_a_predictor_that_knows_the_rows_and_are_said_to_be_predicted(path):
    runtime = runtime_of(parse_target(f"table:{path}"))
    expected, = fit(ROWS).predict([NETWORKS[-1]])
    found = runtime.latency(NETWORKS[-1])
    assert found.median_ms == pytest.approx(expected.median_ms, rel=1e-4)
    assert (found.low_ms, found.high_ms) == pytest.approx(expected.interval_ms(0.95), rel=1e-4)
    assert found.low_ms < found.median_ms < found.high_ms
    assert (found.is_predicted, found.runs, found.duration_s) == (True, 0, 0.0)
    assert found.flags == (f"predicted from the 30 rows of '{path}', not timed",)


def test_a_table_that_changes_is_read_again(path):
    target = parse_target(f"table:{path}")
    before = runtime_of(target).latency(NETWORKS[-1])
    path.write_text("\n".join(path.read_text().splitlines()[:20]))
    assert runtime_of(target).latency(NETWORKS[-1]) != before


def test_the_files_of_its_device_are_of_the_format_that_is_asked_for(path, tmp_path, random_arrays):
    for name in ("onnx", "litert"):
        runtime = runtime_of(parse_target(f"table[format={name}]:{path}"))
        file = RUNTIMES["onnxruntime" if name == "onnx" else name]
        assert (runtime.format, runtime.suffix) == (file.format, file.suffix)
        model = tmp_path / f"model{runtime.suffix}"
        runtime.write(NETWORKS[0], random_arrays(NETWORKS[0].program, 0), model, {})
        images = np.random.default_rng(0).standard_normal((2, *NETWORKS[0].program.input_shape), np.float32)
        assert runtime.load(model, Options()).run(images).shape == (2, 10)


@pytest.mark.parametrize(("content", "rule"), [
    (None, "must be readable, but got"), ("", "with the columns"), ("architecture,latency_ms\nphone,1", "line 2 of"),
    (f"architecture,latency_ms\n{NETWORKS[0]},1", f"at least {FEWEST} measured networks, but got 1"),
    (f"architecture,latency_ms,target\n{NETWORKS[0]},1,litert\n{NETWORKS[0]},1,xla", "one target, but .* litert, xla"),
])
def test_a_table_that_tells_nothing_is_refused_in_one_line(content, rule, tmp_path):
    path = tmp_path / "phone.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidInput, match=rule):
        require_usable(parse_target(f"table:{path}"))

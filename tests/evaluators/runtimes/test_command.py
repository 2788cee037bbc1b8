import os
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evaluators.latency import MeasurementFailed, Precision
from evaluators.machine.trouble import MachineTrouble
from evaluators.runtimes import parse_target, runtime_of
from evaluators.timing.meter import LatencyMeter, measure_once
from search_spaces import Architecture

SHAPE = (8, 8, 1)
PRECISION = Precision(half_width=0.5, at_least_s=0.05, at_most_s=0.1)
BENCHMARK = """
import sys, time
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
image = np.zeros((int(sys.argv[2]), 1, 8, 8), np.float32)
for _ in range(40):
    start = time.perf_counter()
    session.run(None, {"image": image})
    print(1e6 * (time.perf_counter() - start), "us")
"""


@pytest.fixture
def model(tmp_path, random_arrays):
    architecture = Architecture.parse("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3")
    path = tmp_path / "a model's file.onnx"
    runtime_of(parse_target("command:run {model}")).write(
        architecture, random_arrays(architecture.program, 0), path, {})
    return path


def _measure(command, model, options=""):
    return measure_once(parse_target(f"command{options}:{command}"), model, SHAPE, PRECISION)


def test_a_script_that_runs_the_model_file_tells_its_latency(model, tmp_path):
    script = tmp_path / "bench.py"
    script.write_text(BENCHMARK)
    latency = _measure(f"{sys.executable} {shlex.quote(str(script))} {{model}} {{batch}}", model, "[batch=4]")
    assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
    assert latency.median_ms <= latency.p95_ms
    assert latency.runs % 40 == 0


def test_a_command_is_a_line_of_the_shell_in_which_the_path_is_quoted(model):
    command = "test -s {model} && for i in 1 2 3; do echo {threads}; done | sort"
    assert _measure(command, model, "[threads=7,unit=us]").median_ms == pytest.approx(0.007)


def test_a_command_runs_again_until_the_times_are_exact_enough_or_the_time_is_up(model, tmp_path):
    calls = tmp_path / "calls"
    counting = f"echo 1 ms >> {calls}; cat {{model}} > /dev/null; "
    _measure(f"{counting} echo 1 ms; echo 1.001 ms", model)
    assert calls.read_text().count("1") == 1
    exact = Precision(half_width=0.01, at_least_s=0.05, at_most_s=1)
    growing = parse_target(f"command:{counting} wc -l < {calls} | sed 's/$/ ms/'")
    assert "precision not reached" in measure_once(growing, model, SHAPE, exact).flags[0]
    assert calls.read_text().count("1") > 2


@pytest.mark.parametrize(("command", "complaint"), [
    ("true {model}", "the command 'true {model}' printed nothing"),
    ("echo hello {model}", "one time on each line, but printed 'hello"),
    ("sleep 0.2; echo 1 ms; true {model}", "at least two times"),
    ("echo 1 ms; echo no such device >&2; exit 3; {model}", "ended with status 3: no such device"),
    ("kill -9 $$; {model}", "ended with status -9"),
])
def test_a_command_that_gives_no_times_is_an_error_in_one_line(model, command, complaint):
    with pytest.raises(MeasurementFailed) as error:
        _measure(command, model)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("command", "status"), [("./no-such-program {model}", 127), ("/ {model}", 126)])
def test_a_command_that_is_not_there_is_trouble_of_the_machine(model, command, status):
    with pytest.raises(MachineTrouble, match=f"ended with status {status}: "):
        _measure(command, model)


def _ended(pid):
    """Tells whether a process ends soon, be it that nobody asks for its status."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.05)
    return False


def test_a_command_that_hangs_is_given_up_with_all_that_it_started(model, tmp_path):
    start = time.monotonic()
    with pytest.raises(MeasurementFailed, match="was given up after 1 s"):
        _measure(f"sleep 60 & echo $! > {tmp_path}/child; wait; {{model}}", model, "[timeout_s=1]")
    assert time.monotonic() - start < 30
    child = int((tmp_path / "child").read_text())
    assert _ended(child)


def test_a_command_gets_files_of_its_format_which_can_be_run_here_to_compare_them(tmp_path, random_arrays):
    architecture = Architecture.parse("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3")
    arrays = random_arrays(architecture.program, 0)
    images = np.random.default_rng(0).standard_normal((2, *SHAPE), np.float32)
    logits = []
    for name in ("onnx", "litert"):
        target = parse_target(f"command[format={name}]:run {{model}}")
        runtime = runtime_of(target)
        path = tmp_path / f"model{runtime.suffix}"
        runtime.write(architecture, arrays, path, {})
        logits.append(runtime.load(path, target.options).run(images))
    assert runtime.suffix == ".tflite"
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-4)


def test_no_process_waits_for_a_command(model):
    with LatencyMeter(parse_target("command:echo 1 ms; echo 1 ms; true {model}")) as meter:
        assert meter.measure(model, SHAPE, PRECISION).median_ms == 1.0
        assert meter.pid is None

import contextlib
import os
import platform
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from evaluators.latency import MeasurementFailed, Precision
from evaluators.machine.devices import processor
from evaluators.machine.locks import training_turn
from evaluators.machine.trouble import MachineTrouble, is_trouble
from evaluators.networks.weights import initial_arrays
from evaluators.runtimes import RUNTIMES, Options, Place, Target
from evaluators.timing.meter import LatencyMeter, measure_once
from search_spaces import Architecture, InvalidInput

TARGET = Target("onnxruntime")
SHAPE = (8, 8, 1)
QUICK = Precision(half_width=0.5, at_least_s=0.05, at_most_s=1.0)
ENDLESS = Precision(at_least_s=60.0, at_most_s=60.0)


@pytest.fixture(scope="module")
def architecture():
    return Architecture.parse("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3")


def _written(architecture, name, directory):
    runtime = RUNTIMES[name]
    path = directory / f"model{runtime.suffix}"
    runtime.write(architecture, initial_arrays(architecture.program, 0), path, {})
    return path


@pytest.fixture(scope="module")
def model(architecture, tmp_path_factory):
    return _written(architecture, "onnxruntime", tmp_path_factory.mktemp("model"))


@pytest.fixture
def meter():
    with LatencyMeter(TARGET) as meter:
        yield meter


def _gone(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def test_one_process_measures_many_files(meter, model):
    latencies, pids = [], []
    for _ in range(2):
        latencies.append(meter.measure(model, SHAPE, QUICK))
        pids.append(meter.pid)
    assert pids[0] == pids[1] != os.getpid()
    for latency in latencies:
        assert 0 <= latency.low_ms <= latency.median_ms <= latency.high_ms
        assert latency.runs >= 30
        assert latency.duration_s >= QUICK.at_least_s


def test_a_latency_says_where_it_was_measured_and_how_busy_the_machine_was(meter, model):
    latency = meter.measure(model, SHAPE, QUICK)
    assert latency.cores == str(max(os.sched_getaffinity(0)))
    assert latency.load_average >= 0
    assert (latency.host, latency.processor) == (platform.node(), processor())


def test_files_are_timed_on_the_cores_of_the_target(model):
    first = min(os.sched_getaffinity(0))
    with LatencyMeter(Target("onnxruntime", Options(cores=(first,)))) as meter:
        assert meter.measure(model, SHAPE, QUICK).cores == str(first)
        assert os.sched_getaffinity(meter.pid) == {first}


def test_cores_that_this_process_has_not_are_refused():
    with pytest.raises(InvalidInput, match=r"`cores` must be those of this process, .*, but got 5000"):
        LatencyMeter(Target("onnxruntime", Options(cores=(5000,))))


def test_the_measuring_process_ends_with_its_meter_and_leaves_no_files(model, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with LatencyMeter(TARGET) as meter:
        meter.measure(model, SHAPE, QUICK)
        pid = meter.pid
    assert _gone(pid)
    assert meter.pid is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux's /proc to look into the process")
def test_the_measuring_process_has_no_jax_and_its_own_cores(meter, model):
    meter.measure(model, SHAPE, QUICK)
    maps = Path(f"/proc/{meter.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "jaxlib" not in maps
    assert os.sched_getaffinity(meter.pid) == {max(os.sched_getaffinity(0))}


def test_given_images_are_repeated_to_the_batch(model):
    images = np.ones((3, *SHAPE), np.float32)
    with LatencyMeter(Target("onnxruntime", Options(batch=8))) as meter:
        assert meter.measure(model, SHAPE, QUICK, images).median_ms > 0


def test_images_of_another_shape_are_refused(meter, model):
    with pytest.raises(InvalidInput, match=r"shape \(8, 8, 1\), but got \(9, 8, 1\)"):
        meter.measure(model, SHAPE, QUICK, np.ones((1, 9, 8, 1), np.float32))


def test_more_threads_than_cores_are_refused():
    with pytest.raises(InvalidInput, match="`threads` must be at most"):
        LatencyMeter(Target("onnxruntime", Options(threads=10_000)))


def test_a_file_that_cannot_be_loaded_is_an_error_in_one_line_and_the_process_goes_on(meter, model, tmp_path):
    meter.measure(model, SHAPE, QUICK)
    pid = meter.pid
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(MeasurementFailed, match=r"broken\.onnx") as error:
        meter.measure(tmp_path / "broken.onnx", SHAPE, QUICK)
    assert "\n" not in str(error.value)
    meter.measure(model, SHAPE, QUICK)
    assert meter.pid == pid


def test_a_model_that_takes_other_images_is_an_error(meter, model):
    with pytest.raises(MeasurementFailed, match=r"timed '.*model\.onnx'"):
        meter.measure(model, (9, 9, 1), QUICK)


@pytest.mark.parametrize(("how", "failure"), [(signal.SIGSEGV, MeasurementFailed), (signal.SIGKILL, MachineTrouble)])
def test_a_file_that_kills_its_process_is_an_error_and_the_next_one_gets_a_new_process(meter, model, how, failure):
    meter.measure(model, SHAPE, QUICK)
    pid = meter.pid
    timer = threading.Timer(0.3, os.kill, (pid, how))
    timer.start()
    with pytest.raises(failure, match=f"died of {how.name} while it timed '.*model.onnx'") as error:
        meter.measure(model, SHAPE, ENDLESS)
    assert "\n" not in str(error.value)
    meter.measure(model, SHAPE, QUICK)
    assert meter.pid != pid


@pytest.mark.parametrize(("module", "words"), [
    ("no.such.module", "ended with status 1 while it started: ModuleNotFoundError: No module named 'no'"),
    ("shutil", "ended with status 1 while it started: ImportError: cannot import name 'main'")])
def test_a_process_that_does_not_start_is_trouble_of_the_machine(meter, model, monkeypatch, module, words):
    monkeypatch.setattr("evaluators.timing.meter.MODULE", module)
    with pytest.raises(MachineTrouble, match=words):
        meter.measure(model, SHAPE, QUICK)


def test_a_file_that_is_gone_is_not_the_networks_failure(meter, model):
    meter.measure(model, SHAPE, QUICK)
    shutil.rmtree(meter._directory)  # as by who clears /tmp
    with pytest.raises(OSError, match="No such file or directory") as error:
        meter.measure(model, SHAPE, QUICK)
    assert is_trouble(error.value)


def test_a_process_that_dies_between_two_files_is_replaced(meter, model):
    meter.measure(model, SHAPE, QUICK)
    pid = meter.pid
    os.kill(pid, signal.SIGKILL)
    while not Path(f"/proc/{pid}/stat").exists() or b") Z " not in Path(f"/proc/{pid}/stat").read_bytes():
        time.sleep(0.01)
    meter.measure(model, SHAPE, QUICK)
    assert meter.pid != pid


@pytest.fixture
def endless(tmp_path):
    """A model that counts to the largest number."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_in"], ["go_out"]), helper.make_node("Neg", ["x_in"], ["x_out"])], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
         helper.make_tensor_value_info("x_in", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
         helper.make_tensor_value_info("x_out", TensorProto.FLOAT, None)])
    graph = helper.make_graph(
        [helper.make_node("Loop", ["trips", "go", "image"], ["logits"], body=body)], "endless",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor("trips", TensorProto.INT64, [], [2**62]),
         helper.make_tensor("go", TensorProto.BOOL, [], [True])])
    path = tmp_path / "endless.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_file_that_never_ends_is_given_up_and_the_next_one_gets_a_new_process(model, endless):
    with LatencyMeter(TARGET) as meter:
        meter.measure(model, SHAPE, QUICK)
        pid, patience_s = meter.pid, meter.timeout_s
        meter.timeout_s = 0.5
        with pytest.raises(MeasurementFailed, match=r"ended after 1\.5 s while it timed '.*endless\.onnx'"):
            meter.measure(endless, SHAPE, QUICK)
        assert _gone(pid)
        meter.timeout_s = patience_s
        meter.measure(model, SHAPE, QUICK)


def test_an_interrupted_measurement_leaves_no_answer_for_the_next_one(meter, model):
    meter.measure(model, SHAPE, QUICK)
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        meter.measure(model, SHAPE, ENDLESS)
    assert meter.pid is None
    assert meter.measure(model, SHAPE, QUICK).duration_s < ENDLESS.at_most_s


def test_a_measurement_waits_for_its_turn(meter, model):
    order = []
    meter.measure(model, SHAPE, QUICK)

    def measure():
        meter.measure(model, SHAPE, QUICK)
        order.append("measured")

    with training_turn():
        thread = threading.Thread(target=measure)
        thread.start()
        time.sleep(1.0)
        order.append("trained")
    thread.join(120)
    assert order == ["trained", "measured"]


def test_what_one_process_has_learned_of_the_quiet_machine_the_next_one_is_told(model):
    with LatencyMeter(TARGET, quiet_ms=1e-6) as meter:
        latency = meter.measure(model, SHAPE, QUICK)
    assert latency.quiet_reference_ms == 1e-6
    assert latency.load == 1.0
    assert "the machine was not quiet" in latency.flags[0]
    assert latency.low_ms < latency.median_ms / 1000


def test_a_certificate_is_measured_in_a_process_of_its_own(model):
    assert measure_once(TARGET, model, SHAPE, QUICK).median_ms > 0


def test_xla_is_measured_apart_on_a_cpu_and_here_on_the_device_that_training_owns(architecture, tmp_path):
    path = _written(architecture, "xla", tmp_path)
    apart = RUNTIMES["xla"].place is Place.APART
    with LatencyMeter(Target("xla"), timeout_s=300.0) as meter:
        assert meter.measure(path, SHAPE, QUICK).median_ms > 0
        assert (meter.pid is not None) == apart


def test_the_owner_of_a_device_measures_in_its_own_process(monkeypatch, model):
    monkeypatch.setattr(type(RUNTIMES["onnxruntime"]), "place", Place.HERE)
    with LatencyMeter(TARGET) as meter:
        assert meter.measure(model, SHAPE, QUICK).median_ms > 0
        assert meter.pid is None

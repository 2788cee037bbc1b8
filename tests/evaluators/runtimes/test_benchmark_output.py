import numpy as np
import pytest

from evaluators.latency import MeasurementFailed
from evaluators.runtimes.benchmark_output import read_printed

# what the tools themselves print, from reports to their projects: tensorflow/tensorflow#73862, onnxruntime#2798, #17313
LITERT = """\
INFO: STARTING!
INFO: Graph: [mobilenet_v1_1.0_224.tflite]
INFO: Initialized session in 12.75ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=37 first=14744 curr=15520 min=13164 max=18295 avg=13764.3 std=967

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=74 first=14850 curr=13315 min=13105 max=15765 avg=13520.2 std=470

INFO: Inference timings in us: Init: 12750, First inference: 14744, Warmup (avg): 13764.3, Inference (avg): 13520.2
"""
LITERT_WITH_PERCENTILES = "count=50 first=90 curr=80 min=70 max=99 avg=82.5 std=5 p5=75 median=81 p95=95\n"
ONNX_RUNTIME = """\
Setting intra_op_num_threads to 1
Session creation time cost: 1.84149 s
Total inference time cost: 58.8053 s
Total inference requests: 1000
Average inference time cost: 58.8053 ms
Total inference run time: 58.8102 s
Min Latency: 0.0559777 s
P50 Latency: 0.0587108 s
P90 Latency: 0.0599845 s
P95 Latency: 0.0605676 s
"""


@pytest.mark.parametrize(("text", "unit", "times_ms"), [
    ("1.5\n2\n\n", "ms", (1.5, 2.0)),
    ("310\n320", "us", (0.31, 0.32)),
    ("310us\n 0.32 ms \n3.3e-4 s\n330000ns", "", (0.31, 0.32, 0.33, 0.33)),
    ("310us\n1", "ms", (0.31, 1.0)),
    ("310 µs", "", (0.31,)),
])
def test_times_are_read_line_by_line_with_their_unit_or_the_declared_one(text, unit, times_ms):
    assert read_printed(text, unit).times_ms == pytest.approx(times_ms)


@pytest.mark.parametrize(("text", "complaint"), [
    ("1.5", "with their unit, or declare one with unit=us, but printed '1.5'"),
    ("1 ms\nhello", "one time on each line, but printed 'hello'"),
    ("1 ms\n2 hours", "one time on each line, but printed '2 hours'"),
    ("1 ms 2 ms", "one time on each line"),
    ("0 ms", "above 0, but printed '0 ms'"),
    ("-1 ms", "above 0"),
    ("1e999 ms", "above 0"),
    ("nan ms", "one time on each line"),
    ("count=0 first=0 curr=0 min=0 max=0 avg=0 std=0", "above 0"),
])
def test_what_is_no_time_is_an_error_in_one_line(text, complaint):
    with pytest.raises(MeasurementFailed) as error:
        read_printed(text, "")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_the_summary_of_litert_is_that_of_the_last_runs():
    printed = read_printed(LITERT, "")
    assert (printed.median_ms, printed.runs) == (pytest.approx(13.5202), 74)
    assert printed.half_width_ms(drift=0.0) == pytest.approx(1.96 * 0.470 / 74**0.5, rel=1e-3)
    assert read_printed(LITERT_WITH_PERCENTILES, "").median_ms == pytest.approx(0.081)
    assert read_printed(LITERT_WITH_PERCENTILES, "").p95_ms == pytest.approx(0.095)


@pytest.mark.parametrize("text", [
    ONNX_RUNTIME, ONNX_RUNTIME.replace(" Latency: ", " Latency is ").replace(" s\n", " sec\n")])
def test_the_summary_of_onnx_runtime_is_its_median(text):
    printed = read_printed(text, "")
    assert printed.median_ms == pytest.approx(58.7108)
    assert printed.p95_ms == pytest.approx(60.5676)
    assert printed.runs == 1000
    assert 0 < printed.half_width_ms(drift=0.0) < 0.2


def test_the_interval_of_times_holds_their_true_median():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        printed = read_printed("\n".join(f"{value} ms" for value in generator.normal(10, 1, 100)), "")
        held += abs(printed.median_ms - 10) <= printed.half_width_ms(drift=0.0)
    assert held >= 0.9 * 200


def test_summaries_that_differ_widen_the_interval():
    one = read_printed(LITERT, "")
    other = read_printed(LITERT.replace("13520.2", "16000.0"), "")
    assert one.joined(other).half_width_ms(0.0) > 5 * one.joined(one).half_width_ms(0.0)

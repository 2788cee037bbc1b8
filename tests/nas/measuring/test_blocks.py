import itertools
import json

import pytest

from nas.measuring.blocks import BLOCKS, beginnings, recorded_times, time_blocks
from search_spaces import Architecture, InvalidInput

TEXT = "in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+head_c16_relu_n2"
NETWORK = Architecture.parse(TEXT)


def test_beginnings_grow_block_by_block_and_end_in_the_simplest_classifier():
    assert [one.text for one in beginnings(NETWORK)] == [
        "in_r12_c1+fc_n2", "in_r12_c1+conv_k3_c8_s2_relu+fc_n2",
        "in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+fc_n2", TEXT]


def test_times_add_up_to_that_of_the_network_and_are_what_the_gauge_says(gauge, tmp_path):
    told = []
    times = time_blocks(NETWORK, "onnxruntime", tmp_path / BLOCKS, lambda *progress: told.append(progress), gauge)
    macs = [one.macs for one in beginnings(NETWORK)]  # a microsecond for each thousand of which the gauge says
    each = [own_ms for own_ms, _ in times.blocks_ms]
    assert each == pytest.approx([(after - before) / 1e6 for before, after in itertools.pairwise(macs)])
    assert times.least_ms + sum(each) == pytest.approx(times.whole_ms) == pytest.approx(NETWORK.macs / 1e6)
    assert times.blocks_ms[1][1] == pytest.approx(0.02 * (macs[1]**2 + macs[2]**2)**0.5 / 1e6)
    assert [done for _, done, _ in told] == [0, 1, 2, 3]


def test_what_was_timed_is_recorded_and_not_timed_again(gauge, tmp_path):
    first = time_blocks(NETWORK, "onnxruntime", tmp_path / BLOCKS, gauge=gauge)
    timed = list(gauge.timed)
    assert time_blocks(NETWORK, "onnxruntime", tmp_path / BLOCKS, gauge=gauge) == first
    assert gauge.timed == timed
    assert recorded_times(tmp_path / BLOCKS, NETWORK, "onnxruntime") == first
    assert recorded_times(tmp_path / BLOCKS, NETWORK, "litert") is None
    assert recorded_times(tmp_path / "none.json", NETWORK, "onnxruntime") is None


def test_a_network_that_ends_in_the_simplest_classifier_is_timed_once(gauge, tmp_path):
    network = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+fc_n2")
    times = time_blocks(network, "onnxruntime", tmp_path / BLOCKS, gauge=gauge)
    assert len(gauge.timed) == 2
    assert times.blocks_ms[1][0] == 0


@pytest.mark.parametrize("content", ["[", "[]", '{"x": 1}', json.dumps({TEXT: {"onnxruntime": [{}]}}),
                                     json.dumps({TEXT: {"onnxruntime": []}})])
def test_a_record_of_something_else_is_refused(content, gauge, tmp_path):
    (tmp_path / BLOCKS).write_text(content)
    with pytest.raises(InvalidInput, match="the record of blocks must be as a report has written it") as error:
        time_blocks(NETWORK, "onnxruntime", tmp_path / BLOCKS, gauge=gauge)
    assert str(error.value).count("record of blocks") == 1


def test_a_target_that_is_not_of_this_machine_is_refused(gauge, tmp_path):
    with pytest.raises(InvalidInput, match="blocks are timed on targets of this machine, but got 'command:echo"):
        time_blocks(NETWORK, "command:echo {model}", tmp_path / BLOCKS, gauge=gauge)

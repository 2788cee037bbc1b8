import dataclasses
import re

from evaluators.latency import Latency
from nas.measuring.blocks import BlockTimes
from nas.report.html.network import bar, network_section, parts, shape_text
from search_spaces import Architecture

TEXT = "in_r28_c1+conv_k3_c16_s2_relu6+mb_k5_e6_c24_s2_se0.25_hswish+sand_k3_r2_c48_s1_relu6+head_c128_relu6_n10"


def test_blocks_are_told_in_words_and_their_costs_add_up():
    architecture = Architecture.parse(TEXT)
    blocks = parts(architecture)
    assert [(one.kind, one.options, shape_text(one.after)) for one in blocks] == [
        ("plain convolution", "3×3, 16 channels, stride 2, relu6", "14×14×16"),
        ("inverted bottleneck", "5×5, expansion 6, 24 channels, stride 2, SE 0.25, hswish", "7×7×24"),
        ("sand glass", "3×3, reduction 2, 48 channels, relu6", "7×7×48"),
        ("head", "128 channels, relu6, 10 classes", "1×1×10")]
    assert sum(one.macs for one in blocks) == architecture.macs
    assert sum(one.params for one in blocks) == architecture.params
    assert [one.before for one in blocks[1:]] == [one.after for one in blocks[:-1]]


def test_the_winner_is_drawn_with_a_trapezoid_and_shares_for_each_block(found):
    text, architecture = network_section(found).text, Architecture.parse(found.winner.architecture)
    assert text.count('class="block hue') == text.count("<li>") == len(architecture.blocks)
    shares = [int(share) for share in re.findall(r"multiply-adds [\d.kM]+, (\d+)%", text)]
    assert abs(sum(shares) - 100) <= len(shares) / 2
    assert "Where the time goes is not known" in text
    assert "nas report runs/a --time-blocks" in text
    assert f"Trial {found.winner.trial}, the most accurate within the budgets" in text


def test_what_was_exported_takes_its_place(exported):
    assert "Trial 1, the network of the export" in network_section(exported).text


def test_times_of_blocks_stand_beside_them_where_they_were_measured(found):
    count = len(Architecture.parse(found.winner.architecture).blocks)
    beginnings = tuple(Latency(1 + k, 0.9 + k, 1.1 + k, 1 + k, 10, 0.1, 0.1, 0.1, 0.0) for k in range(count + 1))
    text = network_section(dataclasses.replace(found, block_times=BlockTimes("litert", beginnings))).text
    assert text.count(f"time 1 ± 0.1 ms, {1 / (count + 1):.0%}") == count
    assert "measured on litert" in text
    assert f"Without any block a run takes 1 ms, the whole network {count + 1} ms." in text


def test_without_a_winner_it_says_so(found):
    assert "no winner yet" in network_section(dataclasses.replace(found, candidates=found.candidates[2:3])).text


def test_a_bar_is_as_long_as_its_share():
    assert '<rect class="macs" width="25" height="6"/>' in bar(0.25, "macs").text
    assert 'd="M40 0V6"' in bar(0.25, "macs", 0.4).text

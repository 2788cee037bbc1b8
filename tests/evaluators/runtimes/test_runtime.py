import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.latency import LatencyMeter
from evaluators.runtimes import RUNTIMES, Options, Target, parse_target
from evaluators.runtimes.litert import LiteRt
from search_spaces.errors import InvalidInput


@given(st.sampled_from(sorted(RUNTIMES)), st.integers(1, 64), st.integers(1, 64))
def test_the_text_of_a_target_names_it_again(runtime, threads, batch):
    target = Target(runtime, Options(threads, batch))
    assert parse_target(target.text) == target


@pytest.mark.parametrize(("text", "canonical"), [
    ("onnxruntime", "onnxruntime"),
    ("onnxruntime:threads=1", "onnxruntime"),
    ("onnxruntime:batch=8,threads=2", "onnxruntime:threads=2,batch=8"),
    ("xla:batch=8", "xla:batch=8"),
])
def test_the_text_of_a_target_is_canonical(text, canonical):
    assert parse_target(text).text == canonical


@pytest.mark.parametrize(("text", "complaint"), [
    ("onnxrun", "unknown runtime 'onnxrun'; did you mean 'onnxruntime'"),
    ("onnxruntime:", "name=value"),
    ("onnxruntime:threads", "name=value"),
    ("onnxruntime:thread=2", "unknown option of a target 'thread'; did you mean 'threads'"),
    ("onnxruntime:threads=2,threads=2", "given once"),
    ("onnxruntime:threads=two", "whole numbers, but got 'two'"),
    ("onnxruntime:threads=-1", "whole numbers, but got '-1'"),
    ("onnxruntime:threads=1,", "name=value"),
    ("onnxruntime:batch=0", "at least 1, but got batch=0"),
])
def test_a_wrong_target_is_refused_with_what_is_wrong(text, complaint):
    with pytest.raises(InvalidInput, match=complaint):
        parse_target(text)


def test_a_runtime_that_is_not_installed_is_refused_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(RUNTIMES, "litert", LiteRt(module="ai_edge_litter"))
    with pytest.raises(InvalidInput, match=r"pip install 'paretonas\[litert\]'\), but 'ai_edge_litter' is not"):
        LatencyMeter(Target("litert"))


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_names_its_files_and_versions(name):
    assert RUNTIMES[name].suffix.startswith(".")
    versions = RUNTIMES[name].versions()
    assert versions
    assert all(version[0].isdigit() for version in versions.values())

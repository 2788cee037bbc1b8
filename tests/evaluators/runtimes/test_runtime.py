import pytest

from evaluators.runtimes import RUNTIMES, Argument, Place, Target, is_installed
from evaluators.runtimes.litert import LiteRt
from evaluators.timing.meter import LatencyMeter
from search_spaces.errors import InvalidInput


def test_a_runtime_that_is_not_installed_is_refused_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(RUNTIMES, "litert", LiteRt(module="ai_edge_litter"))
    with pytest.raises(InvalidInput, match=r"pip install 'paretonas\[litert\]'\), but 'ai_edge_litter' is not"):
        LatencyMeter(Target("litert"))


@pytest.mark.parametrize("name", [*filter(is_installed, RUNTIMES)])
def test_every_runtime_names_its_files_and_versions(name):
    assert RUNTIMES[name].suffix.startswith(".")
    versions = RUNTIMES[name].versions()
    assert versions
    assert all(version[0].isdigit() for version in versions.values())


def test_a_runtime_says_where_its_files_are_timed_and_what_its_argument_means():
    known = {name: (runtime.place, runtime.argument) for name, runtime in RUNTIMES.items() if name != "xla"}
    apart = (Place.APART, Argument.NONE)
    assert known == {"onnxruntime": apart, "litert": apart, "openvino": apart,
                     "command": (Place.ELSEWHERE, Argument.TEXT), "table": (Place.NOWHERE, Argument.PATH)}
    assert (RUNTIMES["xla"].place in (Place.APART, Place.HERE), RUNTIMES["xla"].argument) == (True, Argument.NONE)

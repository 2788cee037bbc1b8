import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from evaluators.networks.checkpoint import load_arrays
from experiments.reference_logits import read_tensors
from nas.cli.zoo import import_network
from nas.report.zoo import zoo_report
from search_spaces.zoo import NOT_REPRODUCED, ZOO, load_network


def shown(family=None):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(zoo_report(family))
    return captured.get()


def test_every_network_stands_with_the_published_rows_that_it_reproduces():
    text = shown()
    for name, published in ZOO.items():
        assert f" {name} " in text
        for row in published.rows:
            assert f"= {row} " in text


def test_rows_that_are_not_reproduced_stand_with_the_reason():
    text = shown()
    for row, reason in NOT_REPRODUCED.items():
        assert f" {row} " in text
        assert reason[:40] in text


def test_a_family_is_shown_alone():
    text = shown("squeezenet")
    assert " squeezenet_1.1 " in text
    assert "mobilenet" not in text


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Writes a state dict with the tensors that a network has at its source, as a file in the working directory."""
    def write(name):
        generator = np.random.default_rng(0)
        save_file({tensor: generator.uniform(0.5, 1, shape).astype(np.float32)
                   for tensor, shape in read_tensors()[name].items()}, tmp_path / "weights.safetensors")
        return tmp_path / "weights.safetensors"

    monkeypatch.chdir(tmp_path)
    return write


def imported(name, file, capsys, classes=16):
    import_network(name, file, classes=classes)
    path = f"{name.replace(':', '-')}.imported.safetensors"
    text = capsys.readouterr().out
    assert f"{path}: {name}, " in text
    return load_arrays(path)[0], text


@pytest.mark.parametrize("name", ["timm:mobilenetv1_100", "timm:mobilenetv1_100.ra4_e3600_r224_in1k",
                                  "pytorchcv:shufflenetv2_wd2"])
def test_weights_are_imported_by_the_name_of_the_network_at_its_source(name, weights, capsys):
    file = weights(name.partition(".")[0])
    architecture, text = imported(name, file, capsys)
    assert architecture == load_network(name, classes=16)
    assert len(text.splitlines()) == 1


def test_a_bare_name_says_which_conventions_it_assumes(weights, capsys):
    architecture, text = imported("mobilenet_v1", weights("timm:mobilenetv1_100"), capsys)
    assert architecture == load_network("mobilenet_v1", classes=16)
    assert "mobilenet_v1 assumes symmetric padding, batch norm's epsilon 1e-05 and relu, as have pytorchcv:" in text
    assert "unlike timm:mobilenetv1_100; weights do not tell" in text and "--reference" in text

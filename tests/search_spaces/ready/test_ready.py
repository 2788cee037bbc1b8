import re

import numpy as np
import pytest

from search_spaces import SPACES, InvalidInput, Space, load_space

LAYERS = "_relu/relu6/hswish/swish"


def test_mobile_is_as_documented():
    assert SPACES["mobile"].text == (
        "scale_w0.5/0.75/1_r0.75/0.875/1+in+conv_k3_c16_s2_relu6+"
        f"mb_k3/5/7_e3/6_c16_s1_se0/0.25{LAYERS}_x1/2/3+mb_k3/5/7_e3/6_c24_s2_se0/0.25{LAYERS}_x1/2/3+"
        f"mb_k3/5/7_e3/6_c32_s2_se0/0.25{LAYERS}_x1/2/3+mb_k3/5/7_e3/6_c48_s2_se0/0.25{LAYERS}_x1/2/3+"
        f"mb_k3/5/7_e3/6_c64_s1_se0/0.25{LAYERS}_x1/2/3+head_c128_relu6")


def test_mobile_cell_is_mobile_chosen_once_per_stage():
    mobile, cell = SPACES["mobile"], SPACES["mobile-cell"]
    assert cell.text == mobile.text.replace("_r0.75/0.875/1+", "_r0.75/0.875/1_stagewise+")


def test_mobile_224_has_the_skeleton_of_mobilenet_v3_large():
    # Howard et al. 2019, table 1: channels, stride and number of layers of each group of blocks
    published = [(16, 1, 1), (24, 2, 2), (40, 2, 3), (80, 2, 4), (112, 1, 2), (160, 2, 3)]
    space = SPACES["mobile-224"]
    assert dict(space.input) == {"resolution": (160, 192, 224), "bn_epsilon": (0.001,), "bn_momentum": (0.99,)}
    stem, *stages, head = space.stages
    assert [(stage.alternatives[0].options["channels"], stage.alternatives[0].options["stride"], max(stage.depths))
            for stage in stages] == [((channels,), (stride,), depth) for channels, stride, depth in published]
    assert stem.alternatives[0].options["channels"] == (16,)
    assert head.alternatives[0].options == {"channels": (960,), "activation": ("hswish",), "hidden": (1280,)}


@pytest.mark.parametrize(("name", "size"), [
    # 3 widths and 3 resolutions; 3 kernels, 2 expansions, 2 squeezes and 4 activations are 48 layers
    ("mobile", 9 * (48 + 48**2 + 48**3) ** 5),
    ("mobile-cell", 9 * (3 * 48) ** 5),
    ("mobile-224", 9 * 48 * (48 + 48**2) ** 2 * (48 + 48**2 + 48**3) ** 2 * (48**2 + 48**3 + 48**4)),
])
def test_sizes_are_those_of_the_combinatorics(name, size):
    assert SPACES[name].bind(28, 1, 10).size == size


@pytest.mark.parametrize(("name", "resolution"), [
    ("mobile", 28), ("mobile", 32), ("mobile-cell", 28), ("mobile-cell", 32), ("mobile-224", 224)])
def test_every_sample_is_a_member_within_the_bounds(name, resolution):
    space = SPACES[name].bind(resolution, 3, 10)
    generator = np.random.default_rng(0)
    smallest, largest = (space.decode({key: values[rank] for key, values in space.parameters.items()})
                         for rank in (0, -1))
    for _ in range(10):
        assignment = space.sample(generator)
        architecture = space.decode(assignment)
        assert smallest.macs <= architecture.macs <= largest.macs
        assert space.decode(space.encode(architecture)) == architecture
        assert architecture.classes == 10


@pytest.mark.parametrize("name", SPACES)
def test_ready_spaces_round_trip_and_load_by_name(name):
    assert load_space(name) is SPACES[name]
    space = SPACES[name] if isinstance(SPACES[name], Space) else SPACES[name].bind(28, 1, 10)
    assert Space.parse(space.text) == space


def test_a_space_file_gives_the_space_of_its_texts(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text("""
        scale = "scale_w0.5/1_r0.75/1"
        input = "in_symmetric"
        stages = ["conv_k3_c8_s2_relu", "sep_k3/5_c16_s1_relu_x1/2", "head_c8_relu"]
    """)
    assert load_space(str(file)).text == (
        "scale_w0.5/1_r0.75/1+in_symmetric+conv_k3_c8_s2_relu+sep_k3/5_c16_s1_relu_x1/2+head_c8_relu")


def test_a_space_file_needs_nothing_but_stages(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text("stages = ['head_c8_relu']")
    assert load_space(str(file)).text == "in+head_c8_relu"


@pytest.mark.parametrize(("content", "rule"), [
    ("stages = [", "a space file must be readable TOML, but got 'FILE': "),
    (b"stages = ['\xff']", "a space file must be readable TOML, but got 'FILE': "),
    ("stages = ['head_c8_relu']\nstages = []", "a space file must be readable TOML, but got 'FILE': "),
    ("stages = ['head_c8_relu']\nstage = 1", "unknown key in 'FILE' 'stage'; did you mean 'stages'? known: input, "
                                            "scale, stages"),
    ("", "`stages` must be a list of texts, but got None in 'FILE'"),
    ("stages = 'head_c8_relu'", "`stages` must be a list of texts, but got 'head_c8_relu' in 'FILE'"),
    ("stages = ['head_c8_relu', 3]", "`stages` must be a list of texts, but got ['head_c8_relu', 3] in 'FILE'"),
    ("input = 28\nstages = ['head_c8_relu']", "`input` must be a text, but got 28 in 'FILE'"),
    ("scale = 0.5\nstages = ['head_c8_relu']", "`scale` must be a text, but got 0.5 in 'FILE'"),
    ("stages = []", "a space needs at least one stage after its input (FILE)"),
    ("stages = ['head_c8']", "'head_c8' lacks the option `relu|relu6|hswish|swish` (activation) (FILE)"),
    ("stages = ['']", "blocks are joined by single '+' signs, but got 'in+' (FILE)"),
    ("scale = 'w0.5'\nstages = ['head_c8_relu']", "a space begins with 'in', after an optional 'scale', but got "
                                                  "'w0.5' (FILE)"),
    ("input = 'im_r28'\nstages = ['head_c8_relu']", "a space begins with 'in', after an optional 'scale', but got "
                                                    "'im_r28' (FILE)"),
])
def test_a_wrong_space_file_is_refused_with_its_name_and_the_rule(tmp_path, content, rule):
    file = tmp_path / "space.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidInput) as error:
        load_space(str(file))
    assert str(error.value).startswith(rule.replace("FILE", str(file)))
    assert len(str(error.value).splitlines()) == 1


def test_a_space_file_that_cannot_be_read_is_refused_with_its_name_and_the_reason(tmp_path):
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    for path, reason in ((tmp_path / "none.toml", "No such file or directory"), (folder, "Is a directory")):
        with pytest.raises(InvalidInput) as error:
            load_space(str(path))
        assert str(error.value) == f"a space file must be readable TOML, but got '{path}': {reason}"


@pytest.mark.parametrize("name", ["", "mobil", "space.yaml", ".toml", "in_r28+head_c8_relu"])
def test_an_unknown_space_lists_the_ready_ones(name):
    known = ", ".join(sorted([*SPACES, "FILE.toml"]))
    with pytest.raises(InvalidInput, match=f"^unknown space '{re.escape(name)}'.*known: {known}$"):
        load_space(name)

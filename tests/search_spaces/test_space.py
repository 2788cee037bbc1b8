import itertools

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Architecture, InvalidInput, Space

HEAD = "head_c8_relu_n3"


MIXED = ("scale_w0.5/1+in+conv_k3_c8_s2_relu+"
         "sep_k3/5_c16/24_s1/2_relu_x1/2//mb_k3_e2/3_c16_s2_se0_relu/swish_x1/2+head_c8_relu")


def _assignments(space):
    names = space.parameters
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*names.values())]


def test_parameters_have_the_names_of_their_stage_layer_and_kind():
    per_layer = Space.parse(MIXED).bind(8, 1, 3)
    assert per_layer.parameters == {
        "width": (0.5, 1.0), "stage1.depth": (1, 2),
        "stage1.sep.channels": (16, 24), "stage1.sep.stride": (1, 2),
        **{f"stage1.layer{layer}.{name}": values for layer in (0, 1) for name, values in {
            "kind": ("sep", "mb"), "sep.kernel": (3, 5), "mb.expansion": (2.0, 3.0), "mb.activation": ("relu", "swish"),
        }.items()},
    }
    per_stage = Space.parse(MIXED.replace("w0.5/1", "w0.5/1_stagewise")).bind(8, 1, 3)
    assert per_stage.parameters == {
        "width": (0.5, 1.0), "stage1.depth": (1, 2), "stage1.kind": ("sep", "mb"),
        "stage1.sep.kernel": (3, 5), "stage1.sep.channels": (16, 24), "stage1.sep.stride": (1, 2),
        "stage1.mb.expansion": (2.0, 3.0), "stage1.mb.activation": ("relu", "swish"),
    }


def test_layers_of_a_stage_share_channels_and_only_the_first_has_the_stride():
    space = Space.parse("in_r8_c1+sep_k3/5_c16/24_s2_relu_x3+head_c8_relu_n3")
    chosen = {"stage0.channels": 24, "stage0.layer0.kernel": 5, "stage0.layer1.kernel": 3, "stage0.layer2.kernel": 5}
    assert space.decode(chosen).text == (
        "in_r8_c1+sep_k5_c24_s2_relu+sep_k3_c24_s1_relu+sep_k5_c24_s1_relu+head_c8_relu_n3")


def test_choices_of_layers_and_kinds_that_are_not_there_are_ignored():
    space = Space.parse(MIXED).bind(8, 1, 3)
    assignment = space.sample(np.random.default_rng(0)) | {"stage1.depth": 1, "stage1.layer0.kind": "mb"}
    ignored = {name for name in space.parameters if "layer1" in name or ".sep." in name}
    assert len(ignored) == 7
    others = [assignment | {name: value} for name in ignored for value in space.parameters[name]]
    assert {space.decode(other) for other in others} == {space.decode(assignment)}
    changed = {name for other in space.neighbours(assignment) for name in other if other[name] != assignment[name]}
    assert not changed & ignored


def test_neighbours_that_cannot_be_are_left_out():
    space = Space.parse("in_r5_c1_valid+conv_k3_c8_s1_relu+sep_k3/5_c8_s1_relu+head_c8_relu_n3")
    assert list(space.neighbours({"stage1.layer0.kernel": 3})) == []
    with pytest.raises(InvalidInput, match="must keep at least one pixel"):
        space.decode({"stage1.layer0.kernel": 5})


def test_what_comes_about_in_two_ways_is_counted_twice():
    widths = Space.parse(f"scale_w0.9/1+in_r8_c1+conv_k3_c8_s1_relu+{HEAD}")
    alike = Space.parse(f"in_r8_c1+conv_k3_c8_s1_relu_x1/2+conv_k3_c8_s1_relu_x1/2+{HEAD}")
    for space, size, different in ((widths, 2, 1), (alike, 4, 3)):
        assert space.size == size
        assert len({space.decode(assignment) for assignment in _assignments(space)}) == different


def test_sixty_layers_of_several_kinds_are_counted_in_closed_form():
    stage = "//".join(f"{kind}_x60" for kind in (
        "sep_k1/3_c8/16_s1/2_relu", "mb_k1/3_e2_c8/16_s1/2_se0_relu", "conv_k1/3_c8/16_s1/2_relu"))
    sequences = {1: 3, 2: 3 * (2**60 - 2), 3: 3**60 - 3 * 2**60 + 3}  # of kinds, by how many different ones they have
    expected = 2**60 * 2 * sum(number * 2**different for different, number in sequences.items())
    assert Space.parse(f"in_r8_c1+{stage}+{HEAD}").size == expected


@pytest.mark.parametrize(("width", "params"), [(0.5, 2_218_512), (0.75, 3_170_208), (1, 4_383_312), (1.3, 6_282_256)])
def test_the_width_multiplier_gives_the_published_mnasnets(width, params):
    # num_params of MNASNet0_5, 0_75, 1_0 and 1_3 in the weight metadata of torchvision 0.29.1
    space = Space.parse("scale_w0.5/0.75/1/1.3+in_r224_c3_symmetric+conv_k3_c32_s2_relu+" + "+".join(
        f"mb_k{kernel}_e{expansion}_c{channels}_s{stride}_se0_relu_x{depth}"
        for kernel, expansion, channels, stride, depth in (
            (3, 1, 16, 1, 1), (3, 3, 24, 2, 3), (5, 3, 40, 2, 3), (5, 6, 80, 2, 3), (3, 6, 96, 1, 2), (5, 6, 192, 2, 4),
            (3, 6, 320, 1, 1))) + "+head_c1280_relu_n1000")
    assert space.parameters == {"width": (0.5, 0.75, 1.0, 1.3)}
    assert space.decode({"width": width}).params == params


@pytest.mark.parametrize(("width", "channels"), [(1, 12), (0.75, 16), (0.5, 8), (0.01, 8), (1.5, 24)])
def test_channels_are_rounded_only_where_a_multiplier_changes_them(width, channels):
    space = Space.parse("scale_w0.01/0.5/0.75/1/1.5+in_r8_c1+conv_k3_c12_s1_relu+head_c12_relu_n3")
    assert space.decode({"width": width}).text == f"in_r8_c1+conv_k3_c{channels}_s1_relu+head_c12_relu_n3"


class FakeTrial:
    """Answers every question with the choice of one rank and remembers what it was asked."""

    def __init__(self, rank):
        self.rank, self.asked = rank, {}

    def suggest_categorical(self, name, choices):
        assert name not in self.asked
        self.asked[name] = choices
        return choices[min(self.rank, len(choices) - 1)]


def test_suggest_asks_for_every_parameter_whatever_the_answers():
    space = Space.parse(MIXED).bind(8, 1, 3)
    trials = [FakeTrial(rank) for rank in (0, 1)]
    first, second = (space.suggest(trial) for trial in trials)
    assert trials[0].asked == trials[1].asked == space.parameters
    assert space.decode(first) != space.decode(second)


def test_suggest_works_with_optuna():
    space = Space.parse(MIXED).bind(8, 1, 3)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        trial = study.ask()
        assignment = space.suggest(trial)
        assert assignment == trial.params
        assert space.decode(assignment) in space
        study.tell(trial, 0.0)
    assert optuna.search_space.intersection_search_space(study.trials).keys() == space.parameters.keys()


def test_equal_generators_sample_equally_and_every_value_comes_up():
    space = Space.parse(MIXED).bind(8, 1, 3)

    def draws(seed):
        generator = np.random.default_rng(seed)
        return [space.sample(generator) for _ in range(60)]

    assert draws(1) == draws(1) != draws(2)
    for name, values in space.parameters.items():
        assert {sample[name] for sample in draws(1)} == set(values)


def test_binding_fills_in_what_the_data_know():
    space = Space.parse("scale_w0.5_r0.75/0.875/1_stagewise+in_symmetric+conv_k3_c8_s2_relu+head_c8_relu")
    assert space.bind(28, 3, 10).text == (
        "scale_w0.5_stagewise+in_r21/24/28_c3_symmetric+conv_k3_c8_s2_relu+head_c8_relu_n10")
    assert space.bind(28, 3, 10).bind(32, 3, 10) == space.bind(28, 3, 10)


@pytest.mark.parametrize(("text", "resolutions"), [
    ("scale_r0.57+in", (57,)), ("scale_r0.29/0.3+in", (29, 30)), ("scale_r0.999+in", (99,)), ("in_r32/64", (32, 64)),
    ("scale_r0.5/1+in_r32/64", (16, 32, 64)), ("scale_r0.994/0.995/1+in", (99, 100)), ("in", (100,)),
])
def test_resolutions_are_rounded_down_and_listed_once(text, resolutions):
    bound = Space.parse(f"{text}+{HEAD}").bind(100, 1, 3)
    assert dict(bound.input)["resolution"] == resolutions


@pytest.mark.parametrize(("text", "rule"), [
    ("in_c3+head_c8_relu", "the space's input has c3, but the data have 1 channel"),
    ("in_c1/3+head_c8_relu", "the space's input has c1/3, but the data have 1 channel"),
    ("in+head_c8_relu_n10", "the space's head has n10, but the data have 3 classes"),
    ("in+head_c8_relu_n3/10", "the space's head has n3/10, but the data have 3 classes"),
    ("scale_r0.01/1+in+head_c8_relu", "resolution multipliers must leave at least one pixel, but got 'scale_r0.01/1'"),
])
def test_data_that_do_not_fit_are_refused(text, rule):
    with pytest.raises(InvalidInput) as error:
        Space.parse(text).bind(28, 1, 3)
    assert str(error.value) == rule


@pytest.mark.parametrize(("text", "rule"), [
    ("in+head_c8_relu_n3", "'in' lacks the option `r<number>` (height and width of the image in pixels)"),
    ("in_r8_c1+head_c8_relu", "'head' lacks the option `n<number>` (classes)"),
    ("scale_r0.5/1+in_r8_c1+head_c8_relu_n3",
     "a space with resolution multipliers must be bound to data, but got 'scale_r0.5/1'"),
])
def test_a_space_that_is_not_bound_to_data_has_no_architectures(text, rule):
    with pytest.raises(InvalidInput) as error:
        Space.parse(text).decode({})
    assert str(error.value) == rule


@pytest.mark.parametrize(("architecture", "change"), [
    ("in_r8_c1+sep_k3_c16_s2_relu", "another resolution"), ("in_r5_c2+sep_k3_c16_s2_relu", "another image"),
    ("in_r5_c1_symmetric+sep_k3_c16_s2_relu", "another padding"), ("in_r5_c1+sep_k7_c16_s2_relu", "another kernel"),
    ("in_r5_c1+sep_k3_c32_s2_relu", "other channels"), ("in_r5_c1+sep_k3_c16_s1_relu", "another stride"),
    ("in_r5_c1+conv_k3_c16_s2_relu", "another kind"), ("in_r5_c1", "too few layers"),
    ("in_r5_c1+sep_k3_c16_s2_relu+sep_k3_c16_s1_relu+sep_k3_c16_s1_relu", "too many layers"),
    ("in_r5_c1+sep_k3_c16_s2_relu+sep_k3_c24_s1_relu", "layers of different channels"),
    ("in_r5_c1+sep_k3_c16_s2_relu+sep_k3_c16_s2_relu", "the stride again"),
])
def test_what_differs_from_all_members_is_no_member(architecture, change):
    space = Space.parse(f"in_r5/6_c1+sep_k3/5_c16/24_s2_relu_x1/2+{HEAD}")
    assert Architecture.parse(f"in_r5_c1+sep_k3_c16_s2_relu+sep_k5_c16_s1_relu+{HEAD}") in space
    assert Architecture.parse(f"{architecture}+{HEAD}") not in space, change


@pytest.mark.parametrize(("stage", "blocks", "end"), [
    ("conv_k3_c8_s1_relu_x0/1", "conv_k3_c8_s1_relu", "head_c24_relu_n3"),
    ("conv_k3_c8/16_s1_relu_x0/2", "conv_k3_c8_s1_relu+conv_k3_c16_s1_relu", HEAD),
    ("conv_k3_c8_s1_relu_x0/1", "conv_k3_c8_s1_relu", f"conv_k3_c8_s1_relu_bias+{HEAD}"),
])
def test_that_a_network_is_no_member_is_found_without_walking_the_ways_to_share_its_blocks(stage, blocks, end):
    space = Space.parse("+".join(["in_r8_c1", *(60 * [stage]), HEAD]))
    assert Architecture.parse("+".join(["in_r8_c1", *(30 * [blocks]), end])) not in space


def test_a_stagewise_space_has_no_member_whose_layers_differ():
    space = Space.parse(f"scale_stagewise+in_r5_c1+sep_k3/5_c16_s2_relu_x2//conv_k3_c16_s2_relu_x2+{HEAD}")
    assert Architecture.parse(f"in_r5_c1+sep_k5_c16_s2_relu+sep_k5_c16_s1_relu+{HEAD}") in space
    assert Architecture.parse(f"in_r5_c1+sep_k3_c16_s2_relu+sep_k5_c16_s1_relu+{HEAD}") not in space
    assert Architecture.parse(f"in_r5_c1+sep_k3_c16_s2_relu+conv_k3_c16_s1_relu+{HEAD}") not in space
    assert space.size == 3


@pytest.mark.parametrize(("text", "canonical"), [
    (f"scale_w1_r1_layerwise+in_r8_c1_same_eps1e-5+{HEAD}_d0_x1", f"in_r8_c1+{HEAD}"),
    (" scale_stagewise_w1/0.5 + in_c1_r8+head_relu_n3_c8", f"scale_w1/0.5_stagewise+in_r8_c1+{HEAD}"),
    (f"in+sep_x2_relu_s1_c8_k5/3//conv_k3_s1_c8_relu_x2+{HEAD}",
     f"in+sep_k5/3_c8_s1_relu_x2//conv_k3_c8_s1_relu_x2+{HEAD}"),
])
def test_canonical_texts_of_spaces(text, canonical):
    space = Space.parse(text)
    assert space.text == canonical
    assert Space.parse(canonical) == space


@pytest.mark.parametrize(("text", "rule"), [
    ("", "blocks are joined by single '+' signs, but got ''"),
    ("scale_w0.5", "a space begins with 'in', after an optional 'scale', but got ''"),
    (f"scale_w0.5+{HEAD}", "a space begins with 'in', after an optional 'scale', but got 'head_c8_relu_n3'"),
    (f"in+scale_w0.5+{HEAD}", "unknown kind of block 'scale'"),
    (f"inn+{HEAD}", "a space begins with 'in', after an optional 'scale', but got 'inn'"),
    ("in", "a space needs at least one stage after its input"),
    (f"in+{HEAD}+in_r8", "unknown kind of block 'in'"),
    (f"scale_w0+in+{HEAD}", "multipliers must be positive, but got 'scale_w0'"),
    (f"scale_r1/0+in+{HEAD}", "multipliers must be positive, but got 'scale_r1/0'"),
    (f"scale_w1e308+in+{HEAD}", "`w<number>` (width multiplier) takes numbers up to 65536, but got '1e308'"),
    (f"scale_w-1+in+{HEAD}", "unknown option 'w-1' in 'scale_w-1'"),
    (f"scale_layerwise/stagewise+in+{HEAD}", "a space is either layerwise or stagewise, not both"),
    (f"in_r0/8+{HEAD}", "`resolution` must be at least 1, but got r0 in 'in_r0/8'"),
    (f"in_eps0+{HEAD}", "`bn_epsilon` must be positive, but got eps0.0 in 'in_eps0'"),
    (f"in+sep_k3_c8_s1_relu_x0+{HEAD}", "a stage may have a layer, but got 'sep_k3_c8_s1_relu_x0'"),
    (f"in+sep_k3_c8_s1_relu_x99999+{HEAD}", "`x<number>` (layers of the stage) takes numbers up to "
     "65536, but got '99999' in 'sep_x99999'"),
    (f"in+sep_k3_c8_s1_relu_x1/1+{HEAD}", "choices must differ, but 'sep_x1/1' repeats a value in 'x1/1'"),
    (f"in+sep_k3_c8_s1_relu_x1_x2+{HEAD}", "an option is given once, but 'sep_x1_x2' gives `depth` again with 'x2'"),
    (f"in+sep_k3_c8_s1_relu_xyz+{HEAD}", "unknown option 'xyz' in 'sep_xyz'; known: `x<number>` (layers of the stage)"),
    (f"in+sep_k3/3_c8_s1_relu+{HEAD}", "choices must differ, but 'sep_k3/3_c8_s1_relu' repeats a value in 'k3/3'"),
    (f"in+sep_k3/4_c8_s1_relu+{HEAD}", "`kernel` must be odd, but got kernel=4 in 'sep_k3/4_c8_s1_relu'"),
    (f"in+sep_k3_c0_s1_relu+{HEAD}", "`channels` must be at least 1, but got channels=0 in 'sep_k3_c0_s1_relu'"),
    (f"in+sep_k3_c8_s1/3_relu+{HEAD}", "`stride` must be 1 or 2, but got stride=3 in 'sep_k3_c8_s1/3_relu'"),
    (f"in+sep_k3_c8_relu+{HEAD}",
     "'sep_k3_c8_relu' lacks the option `s<number>` (stride of the depthwise convolution)"),
    ("in+head_c8_n3", "'head_c8_n3' lacks the option `relu|relu6|hswish|swish` (activation)"),
    ("in+head_c8_relu_n1", "`classes` must be at least 2, but got n1 in 'head_c8_relu_n1'"),
    (f"in+mb_k3_e3_c8_s1_se0.25/0_relu_seexp/sein+{HEAD}",
     "options of squeeze-and-excitation need a ratio above 0 in 'mb_k3_e3_c8_s1_se0.25/0_relu_seexp/sein'"),
    (f"in+sep_k3_c8_s1_relu_x1//conv_k3_c8_s1_relu_x2+{HEAD}",
     "the kinds of a stage share their depths, but 'sep_k3_c8_s1_relu_x1//conv_k3_c8_s1_relu_x2' gives 2 different x"),
    (f"in+sep_k3_c8_s1_relu//sep_k5_c8_s1_relu+{HEAD}",
     "a stage names a kind once, but got 'sep_k3_c8_s1_relu//sep_k5_c8_s1_relu'"),
    (f"in+sep_k3_c8_s1_relu//+{HEAD}", "unknown kind of block ''"),
    (f"in+sep_k3_c8_s1_relu///mb+{HEAD}", "unknown kind of block '/mb'"),
])
def test_a_wrong_text_is_refused_with_the_token_and_the_rule(text, rule):
    with pytest.raises(InvalidInput) as error:
        Space.parse(text)
    assert str(error.value).startswith(rule)


@given(st.data())
def test_a_damaged_text_parses_or_is_refused_in_one_line(data):
    at, cut = data.draw(st.integers(0, len(MIXED))), data.draw(st.integers(0, 4))
    patch = data.draw(st.text(alphabet="inmbcohead_+/0123456789.eksrwx²٣ \n", max_size=4))
    try:
        space = Space.parse(MIXED[:at] + patch + MIXED[at + cut:])
    except InvalidInput as error:
        assert "\n" not in str(error)
    else:
        assert Space.parse(space.text) == space
        assert space.size >= 1


def test_a_notebook_shows_the_size_and_each_stage():
    space = Space.parse(MIXED)
    shown = space._repr_html_()
    assert f"{len(space.parameters)} choices" in shown
    assert [token for token in space.text.split("+") if f"<tr><td>{token}</td></tr>" not in shown] == []

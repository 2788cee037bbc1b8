from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import InvalidInput, require
from search_spaces.notation import MOST, build, form, number, parse, word, write


@dataclass(frozen=True)
class Sample:
    """A kind made for these tests: required and optional options of all sorts."""

    kernel: int = number("k", "kernel")
    ratio: float = number("ra", "ratio")
    act: str = word({"relu": "relu", "relu6": "relu6", "none": ""}, "activation")
    extra: int = number("x", "extra", 0)
    share: float = number("r", "share", 0.5)
    mode: bool = word({"on": True, "off": False}, "mode", False)

    def __post_init__(self) -> None:
        require(self.kernel != 13, f"`kernel` must not be 13, but got kernel={self.kernel}")


KINDS = {"sample": Sample}
WHOLE = st.integers(0, MOST)
REAL = st.floats(0, MOST)
VALUES = {"kernel": WHOLE, "ratio": REAL, "act": st.sampled_from(("relu", "relu6", "")), "extra": WHOLE,
          "share": REAL, "mode": st.booleans()}
OPTIONS = {name: st.lists(values, min_size=1, max_size=3, unique=True).map(tuple) for name, values in VALUES.items()}
DEFAULTS = {"extra": (0,), "share": (0.5,), "mode": (False,)}
listed = st.fixed_dictionaries({}, optional=OPTIONS)


@given(listed)
def test_a_written_token_parses_to_what_was_written(choices):
    cls, found = parse(write("sample", Sample, choices), KINDS)
    assert cls is Sample
    assert found == {name: values for name, values in choices.items() if DEFAULTS.get(name) != values}


@given(listed, st.randoms())
def test_the_order_of_options_does_not_matter(choices, random):
    text = write("sample", Sample, choices)
    kind, *options = text.split("_")
    random.shuffle(options)
    shuffled = parse("_".join([kind, *options]), KINDS)[1]
    assert write("sample", Sample, shuffled) == text


@given(st.fixed_dictionaries(VALUES))
def test_an_instance_is_built_from_its_token(values):
    token = write("sample", Sample, {name: (value,) for name, value in values.items()})
    if values["kernel"] != 13:
        assert build(*parse(token, KINDS), token) == Sample(**values)


@given(st.text(alphabet="samplekrxonfu_/0123456789.e-²٣ \n"))
def test_any_text_parses_or_is_refused_in_one_line(text):
    try:
        cls, choices = parse(text, KINDS)
    except InvalidInput as error:
        assert "\n" not in str(error)
    else:
        assert parse(write("sample", cls, choices), KINDS)[1].items() <= choices.items()


@pytest.mark.parametrize(("token", "canonical"), [
    ("sample_k3_ra0.25_relu", "sample_k3_ra0.25_relu"),
    ("sample_relu_ra0.250_k03", "sample_k3_ra0.25_relu"),
    ("sample_k3e1_ra1e-5_relu", "sample_k30_ra1e-05_relu"),
    ("sample_k3_ra6.0_none_x0_r0.5_off", "sample_k3_ra6_none"),
    ("sample_relu6/relu_on/off_ra0.1/0.30000000000000004_k5/3",
     "sample_k5/3_ra0.1/0.30000000000000004_relu6/relu_on/off"),
    ("sample_k65536_ra0.3333333333333333_relu", "sample_k65536_ra0.3333333333333333_relu"),
    ("sample", "sample"),
])
def test_canonical_texts(token, canonical):
    assert write("sample", *parse(token, KINDS)) == canonical


@pytest.mark.parametrize(("token", "rule"), [
    ("sampel_k3", "unknown kind of block 'sampel'; did you mean 'sample'? known: sample"),
    ("", "unknown kind of block ''; known: sample"),
    ("sample_q3", "unknown option 'q3' in 'sample_q3'; known: `k<number>` (kernel), `ra<number>` (ratio), "
                  "`relu|relu6|none` (activation), `x<number>` (extra), `r<number>` (share), `on|off` (mode)"),
    ("sample_k", "unknown option 'k' in 'sample_k'"),
    ("sample_3", "unknown option '3' in 'sample_3'"),
    ("sample__k3", "unknown option '' in 'sample__k3'"),
    ("sample_k-3", "unknown option 'k-3' in 'sample_k-3'"),
    ("sample_k+3", "unknown option 'k+3' in 'sample_k+3'"),
    ("sample_k²", "unknown option 'k²' in 'sample_k²'"),
    ("sample_k３", "unknown option 'k３' in 'sample_k３'"),
    ("sample_k3.", "unknown option 'k3.' in 'sample_k3.'"),
    ("sample_K3", "unknown option 'K3' in 'sample_K3'"),
    ("sample_k 3", "unknown option 'k 3' in 'sample_k 3'"),
    ("sample_Relu", "unknown option 'Relu' in 'sample_Relu'"),
    ("sample_rainf", "unknown option 'rainf' in 'sample_rainf'"),
    ("sample_k3/k5", "`k<number>` (kernel) takes numbers, but got 'k5' in 'sample_k3/k5'"),
    ("sample_k3/", "`k<number>` (kernel) takes numbers, but got '' in 'sample_k3/'"),
    ("sample_k3/-5", "`k<number>` (kernel) takes numbers, but got '-5' in 'sample_k3/-5'"),
    ("sample_k3/nan", "`k<number>` (kernel) takes numbers, but got 'nan' in 'sample_k3/nan'"),
    ("sample_k3/٣", "`k<number>` (kernel) takes numbers, but got '٣' in 'sample_k3/٣'"),
    ("sample_k2.5", "`k<number>` (kernel) takes whole numbers, but got '2.5' in 'sample_k2.5'"),
    ("sample_k1e-1", "`k<number>` (kernel) takes whole numbers, but got '1e-1' in 'sample_k1e-1'"),
    ("sample_k1e9", "`k<number>` (kernel) takes numbers up to 65536, but got '1e9' in 'sample_k1e9'"),
    ("sample_ra1e999", "`ra<number>` (ratio) takes numbers up to 65536, but got '1e999' in 'sample_ra1e999'"),
    ("sample_relu/on", "'on' is no value of `relu|relu6|none` (activation) in 'sample_relu/on'"),
    ("sample_relu/", "'' is no value of `relu|relu6|none` (activation) in 'sample_relu/'"),
    ("sample_k3_k5", "an option is given once, but 'sample_k3_k5' gives `kernel` again with 'k5'"),
    ("sample_relu_none", "an option is given once, but 'sample_relu_none' gives `act` again with 'none'"),
    ("sample_k3/5/3", "choices must differ, but 'sample_k3/5/3' repeats a value in 'k3/5/3'"),
    ("sample_ra1/1.0", "choices must differ, but 'sample_ra1/1.0' repeats a value in 'ra1/1.0'"),
    ("sample_on/on", "choices must differ, but 'sample_on/on' repeats a value in 'on/on'"),
])
def test_a_wrong_token_is_refused_with_the_token_and_the_rule(token, rule):
    with pytest.raises(InvalidInput) as error:
        parse(token, KINDS)
    assert str(error.value).startswith(rule)


@pytest.mark.parametrize(("token", "rule"), [
    ("sample_k3_relu", "'sample_k3_relu' lacks the option `ra<number>` (ratio)"),
    ("sample_k3_ra1", "'sample_k3_ra1' lacks the option `relu|relu6|none` (activation)"),
    ("sample_k3/5_ra1_relu", "an architecture has one value for each option, but 'sample_k3/5_ra1_relu' lists several "
                             "for `kernel`; spaces do that"),
    ("sample_k13_ra1_relu", "`kernel` must not be 13, but got kernel=13 in 'sample_k13_ra1_relu'"),
])
def test_a_token_that_describes_no_instance_is_refused_with_the_token_and_the_rule(token, rule):
    with pytest.raises(InvalidInput) as error:
        build(*parse(token, KINDS), token)
    assert str(error.value) == rule


def test_the_form_of_an_option_says_how_it_is_written_and_what_it_means():
    assert [form(field) for field in fields(Sample)][1:3] == ["`ra<number>` (ratio)", "`relu|relu6|none` (activation)"]

"""Random small spaces against a listing of their members that shares no code with `Space`."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Architecture, Space
from search_spaces.blocks import round_channels

HEAD = "head_c8_relu_n3"

Options = dict[str, list[str]]  # the values of each option by its key, in the order of the canonical text


@dataclass(frozen=True)
class Description:
    """A space from which both its text and the texts of its members can be written down."""

    widths: list[str]
    resolutions: list[str]
    stagewise: bool
    stages: list[tuple[list[int], dict[str, Options]]]  # depths, and the options of each kind

    @property
    def text(self) -> str:
        scale = f"scale_w{'/'.join(self.widths)}{'_stagewise' if self.stagewise else ''}"
        stages = []
        for depths, kinds in self.stages:
            stages.append("//".join(_token(kind, options | {"x": [str(depth) for depth in depths]})
                                    for kind, options in kinds.items()))
        return "+".join([scale, f"in_r{'/'.join(self.resolutions)}_c2", "conv_k1_c24_s1_relu", *stages, HEAD])

    def members(self) -> set[str]:
        found = set()
        for width in self.widths:
            bodies = itertools.product(*(self._stage(depths, kinds, width) for depths, kinds in self.stages))
            for body, resolution in itertools.product(bodies, self.resolutions):
                stem = f"conv_k1_c{_wide('24', width)}_s1_relu"
                found.add("+".join([f"in_r{resolution}_c2", stem, *itertools.chain(*body), HEAD]))
        return found

    def _stage(self, depths: list[int], kinds: dict[str, Options], width: str) -> set[tuple[str, ...]]:
        layers = [(kind, {key: [value] for key, value in zip(options, values, strict=True)})
                  for kind, options in kinds.items() for values in itertools.product(*options.values())]
        found = set()
        for depth in depths:
            for chosen in itertools.product(layers, repeat=depth):
                if self.stagewise and any(layer != chosen[0] for layer in chosen):
                    continue
                if any(one["c"] != other["c"] for (kind, one), (same, other) in itertools.combinations(chosen, 2)
                       if kind == same):
                    continue
                found.add(tuple(
                    _token(kind, options | {"c": [_wide(options["c"][0], width)]} | ({"s": ["1"]} if index else {}))
                    for index, (kind, options) in enumerate(chosen)))
        return found


def _token(kind: str, options: Options) -> str:
    return "_".join([kind, *(key + "/".join(values) for key, values in options.items())])


def _wide(channels: str, width: str) -> str:
    return channels if width == "1" else str(round_channels(int(channels) * float(width)))


def _some(*values, most=2):
    return st.sampled_from([chosen for size in range(1, most + 1)
                            for chosen in itertools.permutations(values, size)]).map(list)


@st.composite
def descriptions(draw):
    stages = []
    # no two stages and no two widths give the same channels, so that every member comes about in one way
    for channels in (("32", "48"), ("64", "80"))[:draw(st.integers(1, 2))]:
        kinds = {}
        for kind in draw(_some("sep", "mb", "conv")):
            of_mb = kind == "mb"
            kinds[kind] = {
                "k": draw(_some("1", "3", "5")), **({"e": draw(_some("1", "2"))} if of_mb else {}),
                "c": draw(_some(*channels)), "s": draw(_some("1", "2")),
                **({"se": draw(_some("0", "0.25"))} if of_mb else {}), "": draw(_some("relu", "swish", most=1)),
            }
        stages.append((draw(_some(0, 1, 2, 3).filter(any)), kinds))
    found = Description(draw(_some("0.5", "1")), draw(_some("5", "8")), draw(st.booleans()), stages)
    while math.prod(map(len, Space.parse(found.text).parameters.values())) > 120:
        lists = [depths for depths, _ in stages]
        lists += [values for _, kinds in stages for options in kinds.values() for values in options.values()]
        shortenings = [values.pop for values in lists if len(values) > 1 and values[0] != 0]
        shortenings += [lambda values=values: values.pop(0) for values in lists if len(values) > 1 and values[0] == 0]
        shortenings += [kinds.popitem for _, kinds in stages if len(kinds) > 1]
        draw(st.sampled_from(shortenings))()
    return found


def _assignments(space):
    names = space.parameters
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*names.values())]


@settings(max_examples=60)
@given(descriptions())
def test_the_members_are_exactly_those_of_the_listing(description):
    space = Space.parse(description.text)
    members = description.members()
    assert {space.decode(assignment).text for assignment in _assignments(space)} == members
    assert space.size == len(members)
    assert sorted(space.decode(assignment).text for assignment in space.enumerated(120)) == sorted(members)
    assert space.enumerated(space.size - 1) is None


@settings(max_examples=40)
@given(descriptions())
def test_a_text_parses_to_the_space_that_wrote_it(description):
    space = Space.parse(description.text)
    assert Space.parse(space.text) == space
    assert Space.parse(str(space)).text == space.text


@settings(max_examples=40)
@given(descriptions(), st.randoms(use_true_random=False))
def test_encode_is_the_inverse_of_decode(description, random):
    space = Space.parse(description.text)
    assignments = _assignments(space)
    for assignment in random.sample(assignments, k=min(10, len(assignments))):
        architecture = space.decode(assignment)
        encoded = space.encode(architecture)
        assert architecture in space
        assert encoded.keys() == space.parameters.keys()
        assert all(value in space.parameters[name] for name, value in encoded.items())
        assert space.decode(encoded) == architecture
        assert space.encode(space.decode(encoded)) == encoded


@settings(max_examples=40)
@given(descriptions(), descriptions())
def test_a_space_contains_its_members_and_no_others(one, other):
    space, own = Space.parse(one.text), one.members()
    for text in [*sorted(own)[:20], *sorted(other.members())[:20]]:
        assert (Architecture.parse(text) in space) == (text in own)


@settings(max_examples=40)
@given(descriptions(), st.integers(0, 99))
def test_neighbours_differ_in_one_choice_and_are_symmetric(description, seed):
    space = Space.parse(description.text)
    assignment = space.sample(np.random.default_rng(seed))
    own = space.decode(assignment)
    for neighbour in space.neighbours(assignment):
        assert sum(neighbour[name] != assignment[name] for name in space.parameters) == 1
        assert neighbour.keys() == space.parameters.keys()
        assert space.decode(neighbour) != own
        assert assignment in list(space.neighbours(neighbour))

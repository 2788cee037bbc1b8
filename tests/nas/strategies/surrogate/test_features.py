import itertools

import numpy as np

from nas.strategies.surrogate.features import Members
from search_spaces.space import Space

SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5/7_e3/6_c8/16_s1_se0/0.25_relu/hswish_x1/2+head_c16_relu_n2")
LARGE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5/7_e3/6_c8/16_s1_se0/0.25_relu/hswish_x1/2/3//"
                    "sep_k3/5/7_c8/16/24_s1_relu_x1/2/3+head_c16_relu_n2")


def test_choices_that_do_not_matter_are_not_among_the_features():
    members, names = Members(LARGE, memory=False), LARGE.parameters
    by_id = {}
    generator = np.random.default_rng(0)
    for _ in range(300):
        assignment = LARGE.sample(generator)
        member = members.of(assignment)
        assert member.id == LARGE.decode(assignment).id
        by_id.setdefault(member.id, set()).add(members.features([member]).tobytes())
        idle = set(names) - LARGE.active(assignment).keys()
        other = assignment | {name: LARGE.sample(generator)[name] for name in idle}
        assert members.of(other) is member
    assert all(len(features) == 1 for features in by_id.values())
    assert len({next(iter(features)) for features in by_id.values()}) == len(by_id)


def test_active_choices_decide_the_architecture():
    for space in (SPACE, LARGE):
        generator = np.random.default_rng(1)
        drawn = [space.sample(generator) for _ in range(60)]
        for first, second in itertools.pairwise(drawn):
            assert space.decode(space.active(first)) == space.decode(first)
            assert (space.active(first) == space.active(second)) == (space.decode(first) == space.decode(second))


def test_the_feature_of_multiply_adds_is_linear_in_their_logarithm():
    members = Members(LARGE, memory=False)
    found = members.drawn(30)
    logarithms = np.log1p([LARGE.decode(member.assignment).macs for member in found])
    assert np.corrcoef(members.features(found)[:, members.macs], logarithms)[0, 1] > 1 - 1e-9

import numpy as np
import pytest

from search_spaces import SPACES, Architecture
from search_spaces.zoo import ZOO

FAMILIES = ("documented", "mobilenet-v1", "mobilenet-v2", "mobilenet-v3", "mobilenext", "shufflenet-v2", "efficientnet",
            "squeezenet", "resnet", "densenet", "inception")
EVERY_SPACE = pytest.mark.parametrize("name", SPACES)
# published networks that a space contains, by name
MEMBERS = {
    "mobilenet-v1": ("mobilenet_v1", "mobilenet_v1_0.75", "mobilenet_v1_0.5", "mobilenet_v1_0.25"),
    "mobilenet-v2": ("mobilenet_v2", "mobilenet_v2_0.75", "mobilenet_v2_0.5", "mobilenet_v2_0.35"),
    "mobilenet-v3": ("mobilenet_v3_large", "mobilenet_v3_large_minimalistic"),
    "mobilenext": ("mobilenext",),
    "shufflenet-v2": ("shufflenet_v2", "shufflenet_v2_0.5", "shufflenet_v2_1.5", "shufflenet_v2_2"),
    "efficientnet": ("efficientnet_b0", "efficientnet_b1"),
    "squeezenet": ("squeezenet_1.1", "squeezenet_1.1_bypass"),
    "resnet": ("resnet18", "resnet34", "resnet50"),
}


def members(name, resolution, count, seed=0):
    space = SPACES[name].bind(resolution, 3, 10)
    generator = np.random.default_rng(seed)
    return [space.decode(space.sample(generator)) for _ in range(count)]


def test_every_family_has_a_space():
    assert set(FAMILIES) <= set(SPACES)


@EVERY_SPACE
@pytest.mark.parametrize("count", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_text_of_random_members_is_their_own(name, count):
    for architecture in members(name, 32, count):
        assert Architecture.parse(architecture.text).text == architecture.text


@pytest.mark.parametrize("name", [name for name in SPACES if name != "mobile-224"])
@pytest.mark.parametrize("resolution", [28, 64])
def test_every_choice_of_a_space_is_a_network_at_small_sizes(name, resolution):
    space = SPACES[name].bind(resolution, 1, 10)
    first = {key: values[0] for key, values in space.parameters.items()}
    last = {key: values[-1] for key, values in space.parameters.items()}
    for assignment in (first, last):
        for key, values in space.parameters.items():
            for value in values:
                assert space.decode(assignment | {key: value}).classes == 10


@pytest.mark.parametrize(("name", "network"), [(name, one) for name, several in MEMBERS.items() for one in several])
def test_published_networks_are_members_of_their_familys_space(name, network):
    assert ZOO[network].architecture(resolution=224) in SPACES[name].bind(224, 3, 1000)


@pytest.mark.parametrize(("name", "network", "choices"), [
    ("densenet", "densenet121", {"growth": 32, "bottleneck": 4, "count": 16, "kernel": 7, "stride": 2}),
    ("inception", "googlenet_5x5", {"kernel": 5, "stride": 2, "width": 1}),
])
def test_published_networks_have_the_figures_of_a_member_where_pools_keep_edges(name, network, choices):
    space = SPACES[name].bind(224, 3, 1000)
    assignment = {}
    for key, values in space.parameters.items():
        option = key.rpartition(".")[2]
        wanted = choices.get(option)
        assignment[key] = wanted if wanted in values else values[0]
    for stage, count in zip((2, 3, 4), (6, 12, 24), strict=True):
        if name == "densenet":
            assignment[f"stage{stage}.layer0.count"] = count
    assignment["width"] = 1
    if name == "inception":
        assignment["stage0.layer0.kernel"] = 7
    member, published = space.decode(assignment), ZOO[network].architecture()
    assert (member.params, member.macs) == (published.params, published.macs)


def test_every_stage_of_documented_offers_all_families_that_fit():
    offered = {}
    for stage in SPACES["documented"].stages[1:-1]:
        strided = any(2 in a.options.get("stride", ()) for a in stage.alternatives)
        offered.setdefault(strided, set()).update(a.block.__module__.rpartition(".")[2] for a in stage.alternatives)
    families = {"plain", "mobilenet", "shufflenet", "residual", "densenet", "inception", "inception_resnet", "xception"}
    assert offered == {False: families | {"squeezenet"}, True: families}


@pytest.mark.parametrize("resolution", [28, 64])
def test_whatever_documented_chooses_its_stages_leave_the_same_shapes(resolution):
    space = SPACES["documented"].bind(resolution, 3, 10)
    generator = np.random.default_rng(resolution)
    shapes = set()
    for _ in range(40):
        architecture = space.decode(space.sample(generator) | {"resolution": resolution})
        widths = [program.output_shape[2] for program in architecture.block_programs]
        shapes.add(tuple(dict.fromkeys(widths)))
    assert shapes == {(16, 32, 64, 10)}

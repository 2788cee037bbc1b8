"""What the documents for contributors say, against the code."""

import re
from pathlib import Path

import numpy as np
import pytest

from search_spaces import Architecture, InvalidInput
from search_spaces.blocks import BLOCKS, KIND_OF

REPOSITORY = Path(__file__).parents[1]
DECISIONS = sorted((REPOSITORY / "docs/decisions").glob("*.md"))


@pytest.fixture
def ghost(monkeypatch):
    """The block of the page's example, registered as `ghost`."""
    example, use = re.findall("```python\n(.*?)```", (REPOSITORY / "docs/adding-a-block.md").read_text(), re.DOTALL)
    names: dict = {"__name__": __name__}
    exec(example, names)
    monkeypatch.setitem(BLOCKS, "ghost", names["Ghost"])
    monkeypatch.setitem(KIND_OF, names["Ghost"], "ghost")
    exec(use, names)
    return names


def test_the_block_of_the_example_can_be_counted_and_searched(ghost):
    architecture = ghost["network"]
    # 1x1 from 3 to 8 channels, 3x3 of each of the 8, two batch norms of 8, the classifier
    assert architecture.params == 3 * 8 + 9 * 8 + 2 * 2 * 8 + 16 * 10 + 10
    assert architecture.block_programs[0].output_shape == (8, 8, 16)
    space = ghost["space"]
    members = [space.decode(space.sample(np.random.default_rng(seed))) for seed in range(40)]
    assert {member.blocks[0].channels for member in members} == {8, 16, 24}


@pytest.mark.usefixtures("ghost")
@pytest.mark.parametrize(("channels", "rule"), [
    (25, "`channels` must be even in two halves, but got c25"), (1, "must be even"), (0, "must be at least 1")])
def test_the_block_of_the_example_tells_its_rules(channels, rule):
    with pytest.raises(InvalidInput, match=rule):
        Architecture.parse(f"in_r8_c3+ghost_c{channels}+fc_n10")


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_number_and_four_sections(path):
    title, *rest = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(rf"# {path.stem[:4]}: \S.*", title)
    assert [line for line in rest if line.startswith("#")] == [
        "## Summary", "## Motivation", "## Decision", "## Discussion"]

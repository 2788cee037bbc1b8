"""The document of the notation against the code. Run as a script, it writes the table of options anew."""

import dataclasses
import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "docs/notation.md"
if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))

from search_spaces import BLOCKS, Architecture, Space, load_space  # noqa: E402 - a script has to find the package
from search_spaces.blocks import Input  # noqa: E402
from search_spaces.space import Scale  # noqa: E402
from search_spaces.stage import Repeat  # noqa: E402

KINDS = {"`scale`": Scale, "`in`": Input, **{f"`{kind}`": block for kind, block in BLOCKS.items()}, "any stage": Repeat}
TABLE = re.compile("(?<=<!-- table: begin -->\n).*?(?=<!-- table: end -->)", re.DOTALL)


def table() -> str:
    """Returns the table of kinds and options that the dataclasses describe."""
    rows = ["| Kind | Option | Meaning | Default |", "|---|---|---|---|"]
    for kind, cls in KINDS.items():
        title = " ".join(cls.__doc__.partition("\n\n")[0].split()).removesuffix(".")
        rows.append(f"| {kind} | | **{title}** | |")
        for field in dataclasses.fields(cls):
            option, default = _option(field)
            rows.append(f"| | {option} | {field.metadata['what']} | {default} |")
    return "\n".join(rows) + "\n"


def _option(field: dataclasses.Field) -> tuple[str, str]:
    """Returns how an option and its default are written; one that must be given has none."""
    required = field.default is dataclasses.MISSING
    if "words" in field.metadata:
        names = {value: word for word, value in field.metadata["words"].items()}
        return " ".join(f"`{word}`" for word in names.values()), "" if required else f"`{names[field.default]}`"
    key = field.metadata["key"]
    return f"`{key}{'<n>' if field.type is int else '<x>'}`", "" if required else f"`{key}{field.default:g}`"


def _examples(language: str) -> list[str]:
    return re.findall(f"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def test_the_table_of_options_is_that_of_the_dataclasses():
    (written,) = TABLE.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert written == table(), "run `python tests/search_spaces/test_notation_document.py`"


@pytest.mark.parametrize("text", _examples("architecture"))
def test_examples_of_architectures_are_canonical(text):
    assert Architecture.parse(text).text == text.strip()


@pytest.mark.parametrize("text", _examples("space"))
def test_examples_of_spaces_are_canonical_and_have_members(text):
    space = Space.parse(text)
    assert space.text == text.strip()
    bound = space.bind(28, 1, 10)
    assert bound.decode({}) in bound


@pytest.mark.parametrize("text", _examples("toml"))
def test_examples_of_space_files_load(text, tmp_path):
    file = tmp_path / "space.toml"
    file.write_text(text, encoding="utf-8")
    bound = load_space(str(file)).bind(28, 1, 10)
    assert bound.decode({}) in bound


def test_every_kind_of_text_has_an_example():
    assert all(_examples(language) for language in ("ebnf", "architecture", "space", "toml"))


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(TABLE.sub(lambda _: table(), text), encoding="utf-8")

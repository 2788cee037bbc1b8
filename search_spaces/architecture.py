"""Architecture: one network as plain data, with its text, its identity and its costs."""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from search_spaces.blocks import BLOCKS, KIND_OF, Block, Input
from search_spaces.errors import InvalidInput, require
from search_spaces.layers import Shape
from search_spaces.markup import html_table
from search_spaces.notation import build, parse, write
from search_spaces.program import Program, chain, trace

SEPARATOR = "+"
MOST_BLOCKS = 1000
MOST_OPERATIONS = 20_000


@dataclass(frozen=True)
class Architecture:
    """An input and the blocks that it goes through, the last of which classifies.

    Two architectures are equal exactly if their texts are.
    """

    input: Input
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        height, width, _ = self.block_programs[-1].output_shape
        require((height, width) == (1, 1), "an architecture ends in a classifier of one pixel (a `head`), but "
                f"'{write_block(self.blocks[-1])}' leaves {height}x{width}")

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Returns the architecture that a text describes; raises `InvalidInput` with the token that is wrong."""
        first, *rest = split(text)
        if not first.startswith("in_"):
            raise InvalidInput(f"an architecture begins with its input, such as 'in_r28_c1', but got '{first}'")
        return cls(build(*parse(first, {"in": Input}), first),
                   tuple(map(_parse_block, rest)))

    @cached_property
    def text(self) -> str:
        """The canonical text: `parse` of it is this architecture again."""
        return SEPARATOR.join([write_token("in", self.input), *map(write_block, self.blocks)])

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return html_table(f"{self.params:,} parameters, {self.macs:,} multiply-adds, {self.id}",
                          ("", "block", "output", "parameters", "multiply-adds"),
                          ((index, write_block(block), "x".join(map(str, program.output_shape)), f"{program.params:,}",
                            f"{program.macs:,}") for index, (block, program) in enumerate(
                                zip(self.blocks, self.block_programs, strict=True))))

    @cached_property
    def id(self) -> str:
        """The identity of the architecture in file names and records; see `identify`."""
        return identify(self.text)

    @cached_property
    def block_programs(self) -> tuple[Program, ...]:
        """The operations of each block alone; equal blocks on equal shapes have equal programs."""
        require(bool(self.blocks), "an architecture needs at least one block after its input")
        programs: list[Program] = []
        operations = 0
        shape = (self.input.resolution, self.input.resolution, self.input.channels)
        for block in self.blocks:
            try:
                programs.append(_program(block, self.input, shape))
            except InvalidInput as error:
                raise InvalidInput(f"{error} in '{write_block(block)}'") from None
            shape = programs[-1].output_shape
            operations += len(programs[-1].operations)
            if operations > MOST_OPERATIONS:
                raise InvalidInput(f"a network has at most {MOST_OPERATIONS} operations, but got more by "
                                   f"'{write_block(block)}'")
        return tuple(programs)

    @cached_property
    def block_names(self) -> tuple[str, ...]:
        """A name for each block, by its place and kind; weights are named after them."""
        return tuple(f"{index}.{KIND_OF[type(block)]}" for index, block in enumerate(self.blocks))

    @cached_property
    def program(self) -> Program:
        """The operations of the whole network in execution order."""
        return chain(zip(self.block_names, self.block_programs, strict=True))

    @property
    def classes(self) -> int:
        """The number of classes that the network tells apart."""
        return self.block_programs[-1].output_shape[2]

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and dense layers for one image."""
        return sum(program.macs for program in self.block_programs)

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(program.params for program in self.block_programs)

    @property
    def memory_bytes(self) -> int:
        """Live float32 activations at their peak for one image, without weights."""
        return self.program.memory_bytes


def identify(text: str) -> str:
    """Returns the first 12 hexadecimal digits of the SHA-256 of a canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(maxsize=2048)
def _parse_block(token: str) -> Block:
    """Returns the block of a token; kept, since the texts of a search share most of their blocks."""
    return build(*parse(token, BLOCKS), token)


@lru_cache(maxsize=2048)
def _program(block: Block, conventions: Input, shape: Shape) -> Program:
    """Returns the operations of a block; kept, since the candidates of a search share most of their blocks."""
    return trace(block.layers(shape[2], conventions), shape)


def split(text: str) -> list[str]:
    """Returns the tokens of a text, an input and at most `MOST_BLOCKS`; white space around them is allowed."""
    count = text.count(SEPARATOR)
    require(count <= MOST_BLOCKS, f"a network has at most {MOST_BLOCKS} blocks, but got {count}")
    tokens = [token.strip() for token in text.split(SEPARATOR)]
    if not all(tokens):
        raise InvalidInput(f"blocks are joined by single '{SEPARATOR}' signs, but got '{text}'")
    return tokens


@lru_cache(maxsize=8192)
def write_token(kind: str, value: Any) -> str:
    """Returns the token of a dataclass instance; kept, as blocks are."""
    return write(kind, type(value), {f.name: (getattr(value, f.name),) for f in dataclasses.fields(value)})


def write_block(block: Block) -> str:
    """Returns the token of a block."""
    return write_token(KIND_OF[type(block)], block)

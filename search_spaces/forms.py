"""The arithmetic of the documented alternatives: what a block would cost in another form."""

import dataclasses
from dataclasses import dataclass

from search_spaces.architecture import Architecture, write_block
from search_spaces.blocks.conventions import FORMS
from search_spaces.errors import InvalidInput
from search_spaces.program import trace


@dataclass(frozen=True)
class Form:
    """The costs of a block in one of its forms: `direct`, `stacked` or `separable`."""

    form: str
    text: str
    params: int
    macs: int


def forms_of_blocks(architecture: Architecture) -> tuple[tuple[Form, ...], ...]:
    """Returns the forms that every block may take, its own first; none where the form changes nothing.

    One 5x5 convolution or two of 3x3 (Szegedy et al. 2016, section 3.1); any convolution as a depthwise and a pointwise
    one (Howard et al. 2017, section 3.1).
    """
    found = []
    for block, program in zip(architecture.blocks, architecture.block_programs, strict=True):
        forms: dict[tuple[int, int], Form] = {}
        own = getattr(block, "form", None)
        for form in sorted(FORMS, key=lambda name: name != own) if own else ():
            other = dataclasses.replace(block, form=form)  # type: ignore[type-var]
            try:
                traced = trace(other.layers(program.input_shape[2], architecture.input), program.input_shape)
            except InvalidInput:  # this form leaves no pixel
                continue
            forms.setdefault((traced.params, traced.macs), Form(form, write_block(other), traced.params, traced.macs))
        found.append(tuple(forms.values()) if len(forms) > 1 else ())
    return tuple(found)

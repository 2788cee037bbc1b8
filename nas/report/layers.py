"""The layers of an architecture as a table: shapes, parameters, multiply-adds, and measured times of its blocks."""

from typing import TYPE_CHECKING

from rich import box
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from nas.problem.quantities import format_bytes, format_latency_ms
from nas.report.records import Row
from search_spaces.architecture import Architecture, write_block
from search_spaces.forms import forms_of_blocks
from search_spaces.layers import Convolution
from search_spaces.program import Operation, Program

if TYPE_CHECKING:
    from nas.measuring.blocks import BlockTimes

BAR = 24  # columns


def layer_table(architecture: Architecture) -> Table:
    """Returns a line for each operation in execution order, block by block, and the totals."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, caption_justify="left",
                  caption=f"live activations at their peak: {format_bytes(architecture.memory_bytes)}")
    table.add_column("layer", footer="total", no_wrap=True, max_width=24)
    table.add_column("what", no_wrap=True, max_width=30)
    table.add_column("output", justify="right", no_wrap=True)
    table.add_column("params", justify="right", no_wrap=True, footer=f"{architecture.params:,}")
    table.add_column("MACs", justify="right", no_wrap=True, footer=f"{architecture.macs:,}")
    size = architecture.input.resolution
    table.add_row("input", "", f"{size}x{size}x{architecture.input.channels}", "", "")
    for index, (block, program) in enumerate(zip(architecture.blocks, architecture.block_programs, strict=True)):
        table.add_section()
        table.add_row(Text(str(index), "bold"), Text(write_block(block), "bold"),
                      _shape(program.output_shape), f"{program.params:,}", f"{program.macs:,}", style="bold")
        for operation in program.operations:
            table.add_row(f"  {operation.name.rpartition('/')[0] or '-'}", _described(operation),
                          _shape(operation.output_shape), _count(operation.params), _count(operation.macs))
    return table


def layer_rows(architecture: Architecture, times: "BlockTimes | None" = None) -> list[Row]:
    """Returns a row for each block, with its time where it is known, each followed by rows of its layers."""
    each = times.blocks_ms if times else [(None, None)] * len(architecture.blocks)
    rows = []
    for index, (block, program, (time_ms, half_ms)) in enumerate(zip(
            architecture.blocks, architecture.block_programs, each, strict=True)):
        rows.append(_row(index, None, write_block(block), program) | {"time_ms": time_ms, "time_half_ci_ms": half_ms})
        rows += [_row(index, operation.name.rpartition("/")[0], _described(operation), operation)
                 | {"time_ms": None, "time_half_ci_ms": None} for operation in program.operations]
    return rows


def time_table(architecture: Architecture, times: "BlockTimes") -> Table:
    """Returns the time of each block with a bar, as long as its share of the longest."""
    table = Table(box=box.SIMPLE_HEAD, caption=times_text(times), caption_justify="left")
    table.add_column("block", justify="right")
    table.add_column("what", no_wrap=True, max_width=40)
    for name in ("time (ms)", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    longest_ms = max(1e-9, *(own_ms for own_ms, _ in times.blocks_ms))
    for index, (block, (own_ms, half_ms)) in enumerate(zip(architecture.blocks, times.blocks_ms, strict=True)):
        table.add_row(str(index), write_block(block), f"{own_ms:.2g} ± {half_ms:.1g}",
                      f"{max(0.0, own_ms) / times.whole_ms:.0%}", Bar(longest_ms, 0, max(0.0, own_ms), width=BAR))
    return table


def times_text(times: "BlockTimes") -> str:
    """Returns the method by which the times of blocks were measured, and the doubts about them."""
    doubts = (f" {len(times.doubtful)} of {len(times.beginnings)} timings are in doubt, the first as {flags[0]}."
              if times.doubtful and (flags := times.doubtful[0].flags) else "")
    return (f"Times were measured on {times.target}: what a network takes that ends behind the block less what one "
            "takes that ends before it, both with the same small classifier, and the 95 % interval of that difference. "
            f"Without any block a run takes {format_latency_ms(times.least_ms)}, the whole network "
            f"{format_latency_ms(times.whole_ms)}.{doubts}")


def forms_table(architecture: Architecture) -> Table | None:
    """Returns the costs of the blocks in their other documented forms, or None where no block has any.

    One 5x5 convolution or two of 3x3; a convolution or its depthwise separable form.
    """
    table = Table(box=box.SIMPLE_HEAD, title="blocks in their other forms", title_justify="left")
    for name in ("block", "form"):
        table.add_column(name, no_wrap=True, max_width=44)
    for name in ("params", "MACs"):
        table.add_column(name, justify="right", no_wrap=True)
    for index, forms in enumerate(forms_of_blocks(architecture)):
        for form in forms:
            own = form is forms[0]
            table.add_row(f"{index} {form.text}" if own else "", form.form, f"{form.params:,}", f"{form.macs:,}")
    return table if table.row_count else None


def _row(block: int, layer: str | None, what: str, costs: Program | Operation) -> Row:
    return {"block": block, "layer": layer, "what": what, "output": list(costs.output_shape), "params": costs.params,
            "macs": costs.macs}


def _described(operation: Operation) -> str:
    match operation.layer:
        case Convolution() as layer:
            depthwise = layer.is_depthwise(operation.input_shapes[0][2])
            groups = " depthwise" if depthwise else f" groups {layer.groups}" if layer.groups > 1 else ""
            stride = f" stride {layer.stride}" if layer.stride > 1 else ""
            return f"convolution {layer.kernel[0]}x{layer.kernel[1]}{groups}{stride}"
        case layer if hasattr(layer, "function"):
            return layer.function
        case layer:
            return layer.label.replace("_", " ")


def _shape(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


def _count(count: int) -> str:
    return f"{count:,}" if count else ""

"""The commands on published networks: their list, and the import of their weights."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.output import Csv, Json, Output
from search_spaces.numbers import count_of

LARGEST_IMPORT_DIFFERENCE = 1e-3


def list_networks(
    family: Annotated[str | None, typer.Option(help="only networks of this family", show_default=False)] = None,
    json: Json = False, csv: Csv = None,
) -> None:
    """List the published networks. Each has parameters, multiply-adds, its source, and the published rows it meets."""
    from nas.report.zoo import zoo_report, zoo_rows

    output = Output(json, csv)
    if json or csv:
        output.write(zoo_rows(family))
    if not output.takes_stdout:
        output.console.print(zoo_report(family))


def import_network(
    name: Annotated[str, typer.Argument(metavar="NAME", help="its name at its source, such as timm:mobilenetv1_100, "
                                                           "or a published network, see `nas zoo`")],
    file: Annotated[Path, typer.Argument(metavar="FILE.safetensors",
                                         help="state dict of torchvision, timm or pytorchcv")],
    out: Annotated[Path | None, typer.Option(help="where to  [NAME.imported.safetensors]", show_default=False)] = None,
    reference: Annotated[Path | None, typer.Option(
        help="npz file with images [B, H, W, C] and the logits that they should give", show_default=False)] = None,
    classes: Annotated[int | None, typer.Option(help="classes of the state dict", show_default=False)] = None,
    weights_of: Annotated[str | None, typer.Option(
        metavar="PREFIX", help="which of several sets of weights, as model_ema", show_default=False)] = None,
) -> None:
    """Read pretrained weights into a published network."""
    from evaluators.machine.files import STDOUT
    from evaluators.networks.checkpoint import save_network
    from evaluators.networks.pretrained import (
        choose_tensors,
        import_weights,
        output_difference,
        read_reference,
        read_weights,
    )
    from nas.cli.terminal import console_on_stderr, console_on_stdout
    from search_spaces.errors import require
    from search_spaces.zoo import ZOO, assumed, load_network, zoo_name

    path = out or Path(f"{name.replace(':', '-')}.imported.safetensors")
    require(path.resolve() != file.resolve(), f"weights are imported into another file, but got '{path}' for both")
    architecture = load_network(name, classes=classes)
    tensors, prefix = choose_tensors(read_weights(file), architecture.program, weights_of or "")
    arrays = import_weights(architecture, tensors, ZOO[zoo_name(name)].family)
    console = console_on_stderr() if path in STDOUT else console_on_stdout()
    if prefix:
        console.print(f"prefix '{prefix}' stripped from the names of {count_of(len(tensors), 'tensor')}",
                      highlight=False)
    if reference is not None:
        difference = output_difference(architecture, arrays, *read_reference(reference))
        console.print(f"logits differ from the reference by at most {difference:.1e}, relative to the largest",
                      highlight=False)
        require(difference <= LARGEST_IMPORT_DIFFERENCE, f"imported weights must give the reference's logits to "
                f"{LARGEST_IMPORT_DIFFERENCE:g}, relative to the largest, but they differ by {difference:.1e}")
    elif name in ZOO:
        console.print(assumed(name, architecture), highlight=False, soft_wrap=True)
    save_network(architecture, arrays, path)
    console.print(f"{path}: {name}, {architecture.params:,} parameters", highlight=False, soft_wrap=True)

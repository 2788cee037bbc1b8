"""Options of several commands. Those of budgets and trainings are made from `QUANTITIES` and `Recipe`."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluators.recipe import TEACHING, Recipe, load_recipe
from nas.problem.quantities import QUANTITIES
from search_spaces.errors import require

REPEATED = "<str>"  # what an option takes that is given again for further values

Data = Annotated[str | None, typer.Option(
    help="fashion-mnist; a path: .npz, a folder of IDX files or of images; or table:NAME:FILE  [fashion-mnist]",
    show_default=False)]
SkipBroken = Annotated[bool | None, typer.Option(
    "--skip-broken", help="leave out image files that are broken, recorded with the split", show_default=False,
    hidden=True)]
Resolution = Annotated[int | None, typer.Option(help="resize the images to so many pixels", show_default=False,
                                                hidden=True)]
MetricName = Annotated[str | None, typer.Option(
    "--metric", help="what stands for the accuracy: accuracy, balanced-accuracy, macro-f1 or top5  [accuracy]",
    show_default=False, hidden=True)]
Targets = Annotated[list[str] | None, typer.Option(
    "--target", help="runtime the winner is shipped on, such as onnxruntime:threads=2; again for further ones, with "
    "budgets in the same order  [onnxruntime]", metavar=REPEATED, show_default=False)]
Precision = Annotated[str | None, typer.Option(
    "--precision", help="float32, int8, float16 or int8-weights: that of the files of all targets, by which candidates "
    "are scored too  "
    "[as targets say]", show_default=False, hidden=True)]
Trust = Annotated[bool, typer.Option(
    "--trust", help="run the code and commands that are named there, though not begun with by you on this machine")]
RunArgument = Annotated[str, typer.Argument(metavar="DIR", help="run directory")]
Formats = Annotated[str, typer.Option(help="further formats: onnx, litert, stablehlo, flax, python, torch")]

AUGMENTATION = ("none, shift, or randaugment: shifts, rotations, shears, brightness, contrast, cutout; shift-flip and "
                "randaugment-flip: also mirror images")
BUDGETS, RECIPE = "Budgets", "Recipe of the training"
SHOWN = ("latency", "macs", "params", "memory", "size", "epochs")  # settings on the first page of a help
OF_RUN = "that of the run"
Command = Callable[..., None]
Option = inspect.Parameter


def budget_options(percentiles: bool = False) -> list[Option]:
    """Returns an option for each quantity that a budget may limit; those of a target are given once for each."""
    further = {"latency": ", or a percentile of the space (p30)"} if percentiles else {}
    return [_option(name, list[str] if quantity.of_target else str, quantity.help + further.get(name, ""), BUDGETS)
            for name, quantity in QUANTITIES.items()]


def recipe_options(default: Recipe | None, parts: Sequence[str] = (), **helps: str) -> list[Option]:
    """Returns an option for each setting of a training with a help here, which states its default too.

    That is the setting of a run where no default is given. With `parts` there is also an option for each of these, and
    one for a file of settings; `recipe_settings` puts all together.
    """
    settings = [_option(field.name, field.type, f"{helps[field.name]}  [{getattr(default, field.name, OF_RUN)}]",
                        RECIPE) for field in fields(Recipe) if field.name in helps]
    if not parts:
        return settings
    file = _option("recipe", Path, "FILE.toml of settings by their names (mixup = 0.2); options win", RECIPE)
    return [*settings, file,
            *(_option(field.name, field.type, _bounded(field, getattr(
                Recipe if field.name in TEACHING else default, field.name, OF_RUN)), RECIPE)
              for field in fields(Recipe) if field.name in parts)]


def recipe_settings(given: dict[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the settings of a recipe: those of its file, where options do not say otherwise.

    Raises:
        InvalidInput: as `load_recipe`, or a setting `without` which the training is.
    """
    options = {name: value for name, value in given.items() if name != "recipe"}
    if "recipe" not in given:
        return options
    settings = load_recipe(given["recipe"])
    for name in without:
        require(name not in settings, f"`{name}` is of a training with a teacher, which candidates of a search have "
                f"not, but got it in '{given['recipe']}'")
    return {**settings, **options}


def _bounded(field: Any, default: Any) -> str:
    within = field.metadata["within"]
    return f"{field.metadata['what']}{'' if isinstance(within, tuple) else f'; in {within}'}  [{default}]"


def _option(name: str, kind: Any, text: str, panel: str) -> Option:
    return Option(name, Option.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, typer.Option(
        f"--{name.replace('_', '-')}", help=text, show_default=False, rich_help_panel=panel,
        hidden=name not in SHOWN, metavar=REPEATED if kind == list[str] else None)])


def with_options(**groups: Sequence[Option]) -> Callable[[Command], Command]:
    """Returns a decorator that puts options in the place of parameters of a command.

    In each of these the command gets what was given of its options, by name.
    """
    def decorated(command: Command) -> Command:
        signature = inspect.signature(command)

        @functools.wraps(command)
        def called(**values: Any) -> None:
            grouped = {group: given(**{option.name: values.pop(option.name) for option in options})
                       for group, options in groups.items()}
            command(**values, **grouped)

        called.__signature__ = signature.replace(parameters=[  # type: ignore[attr-defined]
            option for parameter in signature.parameters.values()
            for option in groups.get(parameter.name, [parameter])])
        return called

    return decorated


def given(**values: Any) -> dict[str, Any]:
    """Returns the values that a user has given, lists as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
            if value is not None and value != []}


def search_limits(texts: dict[str, Any]) -> dict[str, Any]:
    """Returns the limits of a search by the fields of its configuration; a latency may be a percentile of the space.

    A latency in milliseconds takes the place of a percentile, and the other way round.
    """
    from nas.problem.budgets import NONE, parse_limits
    from nas.problem.quantities import parse_percentile

    if not texts.get("latency"):
        return parse_limits(texts)
    percentiles = tuple(map(parse_percentile, texts["latency"]))
    latencies = [text if percentile is None else NONE
                 for text, percentile in zip(texts["latency"], percentiles, strict=True)]
    return {**parse_limits(texts | {"latency": latencies}), "latency_percentile": percentiles}


def listed(option: str, texts: str) -> list[str]:
    """Returns the texts between the commas of an option; raises `InvalidInput` where one is empty."""
    found = texts.split(",")
    require(all(map(str.strip, found)), f"`--{option}` takes names between commas, none empty, but got '{texts}'")
    return found

"""The pages of recorded results: question, command, machine and figures of each file of `experiments/results`."""

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

from docs.site.reference import escaped, fenced, table
from experiments import comparison
from experiments.benchmarks.table import DOCUMENTS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
TABLES = {names: write for own in DOCUMENTS.values() for write, names in own.items()}
MOST_FIGURES = 60  # of a record without a table, in the order in which they stand there


def pages() -> dict[str, str]:
    """Returns a page for each experiment that has left a record, and one that lists them."""
    made, rows = {}, []
    for module, names in sorted(records().items()):
        page = f"results/{module.rpartition('.')[2]}.md"
        question, about = documented(module)
        found = [json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in names]
        made[page] = "\n\n".join([f"# {module.rpartition('.')[2].replace('_', ' ').capitalize()}", question, about,
                                  *(part for name, record in zip(names, found, strict=True)
                                    for part in (f"## `{name}.json`", recorded(record), figures(module, name, record))
                                    if part), *joint(names, found)])
        rows.append((f"[{escaped(question)}]({page.partition('/')[2]})", f"`python -m {module}`"))
    made["results/index.md"] = "\n\n".join([
        "# Recorded results", "Each is what one command has written into `experiments/results`, on the machine that "
        "its page names. What is recorded is not measured again, unless the file is moved away.",
        table(("question", "command"), rows)])
    return made


def records() -> dict[str, list[str]]:
    """Returns the names of the records that each experiment has left."""
    found: dict[str, list[str]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        naming = [module for module, text in sources().items() if _writes(text, path.stem)]
        if not naming:
            raise LookupError(f"an experiment must name each file of its results, but none names '{path.name}'")
        named_like_it = [module for module in naming if path.stem.startswith(module.rpartition(".")[2])]
        found.setdefault((named_like_it or naming)[0], []).append(path.stem)
    return found


def sources() -> dict[str, str]:
    """Returns the source of each experiment by its module."""
    paths = [*(ROOT / "experiments").glob("*.py"), *(ROOT / "experiments/benchmarks").glob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
            for path in sorted(paths) if path.stem != "table"}


def _writes(source: str, name: str) -> bool:
    own = re.escape(name)
    begun = re.escape(name.rpartition("_")[0])  # of names that end in a runtime's
    return bool(re.search(rf'["/]{own}\.json|Comparison\("{own}"', source)
                or (begun and re.search(rf'f"{begun}_{{\w+}}\.json', source)))


def documented(module: str) -> tuple[str, str]:
    """Returns the first line of an experiment's docstring, and the rest of it as Markdown."""
    first, _, rest = (ast.get_docstring(ast.parse(sources()[module])) or "").partition("\n\n")
    rest = re.sub(r"(?:^    .*\n?)+", lambda match: fenced(re.sub("^    ", "", match[0].rstrip(), flags=re.MULTILINE))
                  + "\n", rest, flags=re.MULTILINE)
    return first, rest


def recorded(record: Any) -> str:
    """Returns when and on which machine a record was made, as far as it says so."""
    environment = record.get("environment") or {}
    parts = [f"Recorded {environment['written'][:10]}" if "written" in environment else "",
             f"{environment['processor']}, {environment['cores']} cores" if "processor" in environment else "",
             *(f"{name} {environment[name]}" for name in ("jax", "onnxruntime", "litert") if environment.get(name))]
    return f"{', '.join(filter(None, parts))}." if any(parts) else ""


def figures(module: str, name: str, record: dict[str, Any]) -> str:
    """Returns the table that an experiment makes of its record, else the figures in it."""
    if (name,) in TABLES:
        return TABLES[name,](record)
    if any(name in names for names in TABLES):
        return ""  # which stands below, with the others of its table
    experiment = importlib.import_module(module)
    if hasattr(experiment, "COMPARISON"):
        return comparison.table(experiment.COMPARISON.networks, record)
    write = getattr(experiment, "table", None)
    if write is not None and "record" in write.__code__.co_varnames[:1]:
        return write(record)
    rows = [row for row in leaves(record) if not row[0].startswith("environment")]
    left = f"\n\n{len(rows) - MOST_FIGURES:,} more in the file." if len(rows) > MOST_FIGURES else ""
    return table(("figure", "value"), rows[:MOST_FIGURES]) + left


def joint(names: list[str], found: list[Any]) -> list[str]:
    """Returns the tables that are made of several records of an experiment."""
    by_name = dict(zip(names, found, strict=True))
    return [write(*(by_name[name] for name in own)) for own, write in TABLES.items()
            if len(own) > 1 and set(own) <= by_name.keys()]


def leaves(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Returns each figure of a record with where it stands; of a list how long it is."""
    if isinstance(value, dict):
        return [row for key, own in value.items() for row in leaves(own, f"{name}, {key}" if name else key)]
    if isinstance(value, list):
        return [(escaped(name), f"{len(value)} values")]
    return [(escaped(name), f"{value:.4g}" if isinstance(value, float) else escaped(str(value)))]

"""Do random members of the spaces leave in all formats, with the logits of the network?

    python -m experiments.exports --members 28    # so many of each space; what is recorded is not done again
    python -m experiments.exports --report        # the table of what is recorded

Members of `documented` and of every family's space, for images of 32 pixels and with random batch norms, are written in
each format, loaded and run on random images. Recorded are the largest difference of their logits from those of the
network, as a share of its largest logit, and the images of another top class; a failure ends the run. Expected:
differences below 1e-4, of most members below 1e-5, and no other class. A member takes 10 to 20 s on a core, most of
it in compilers.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evaluators.machine.files import write_whole
from evaluators.networks.network import Network, logits_of
from evaluators.networks.weights import Weights, initial_arrays
from nas.export.formats import FORMATS
from nas.measuring.inputs import random_images
from nas.run.environment import environment
from search_spaces import SPACES, Architecture
from search_spaces.program import Program

RESULT = Path(__file__).parent / "results" / "exports.json"
SKETCHES = ("fitted", "mobile", "mobile-cell", "mobile-224")  # spaces that are no family's
COMPARED = tuple(name for name, entry in FORMATS.items() if not entry.module)
RESOLUTION, CLASSES, ALLOWED = 32, 10, 1e-4


def random_arrays(program: Program, seed: int) -> Weights:
    """Returns the arrays of a network whose batch norms have something to do."""
    generator = np.random.default_rng(seed)
    return {name: array + generator.uniform(0, 0.3, array.shape).astype(np.float32) * (array.ndim == 1)
            for name, array in initial_arrays(program, seed).items()}


def compared(architecture: Architecture, seed: int) -> dict[str, dict[str, float]]:
    """Returns each format's largest logit difference from the network, and its count of images of another top class."""
    arrays, images = random_arrays(architecture.program, seed), random_images(architecture, seed)
    expected = np.asarray(logits_of(Network(architecture, arrays=arrays), images))
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in COMPARED:
            path = Path(directory) / f"model{FORMATS[name].suffix}"
            FORMATS[name].write(architecture, arrays, path, {})
            logits = FORMATS[name].load(path)(images)
            found[name] = {"difference": float(np.abs(logits - expected).max() / np.abs(expected).max()),
                           "images": len(images), "other": int(np.sum(logits.argmax(-1) != expected.argmax(-1)))}
    return found


def table(members: dict[str, Any]) -> str:
    """Returns the records as a table in Markdown."""
    lines = [f"{len(members)} members of {len({key.partition(' ')[0] for key in members})} spaces", "",
             f"| format | largest difference | members above {ALLOWED:g} | images of another top class |",
             "|---|---|---|---|"]
    for name in COMPARED:
        each = [member["formats"][name] for member in members.values()]
        lines.append(f"| {name} | {max(one['difference'] for one in each):.1e} | "
                     f"{sum(one['difference'] > ALLOWED for one in each)} | "
                     f"{sum(one['other'] for one in each)} of {sum(one['images'] for one in each):,} |")
    return "\n".join(lines)


def main() -> None:
    """Compares the members that lack in the record, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--members", type=int, default=28, help="of each space")
    parser.add_argument("--report", action="store_true", help="compare nothing")
    arguments = parser.parse_args()
    members: dict[str, Any] = json.loads(RESULT.read_text())["members"] if RESULT.exists() else {}
    for seed in range(0 if arguments.report else arguments.members):
        for space in (name for name in SPACES if name not in SKETCHES):
            if (key := f"{space} {seed}") not in members:
                bound = SPACES[space].bind(RESOLUTION, 3, CLASSES)
                architecture = bound.decode(bound.sample(np.random.default_rng(seed)))
                members[key] = {"architecture": architecture.text, "formats": compared(architecture, seed)}
                jax.clear_caches()  # else hundreds of members compile more than a process may map into memory
                print(key, members[key]["formats"], flush=True)
                write_whole(RESULT, (json.dumps({"members": members, "environment": environment()}) + "\n").encode())
    print(table(members))


if __name__ == "__main__":
    main()

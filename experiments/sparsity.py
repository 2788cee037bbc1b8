"""Do runtimes gain from weights that are zero where they please?

    python -m experiments.sparsity

Of the kernels of networks of `experiments.recipes` the smallest weights are set to zero, a half and nine tenths. Each
file is timed in turns with the same one without zeros, on each target; the record is `sparsity.json`. Expected time:
two minutes; expected: nothing is gained, since dense kernels multiply by zeros as by other numbers.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluators.machine.files import write_whole
from evaluators.machine.ownership import temporary_directory
from evaluators.networks.weights import Weights
from evaluators.runtimes import parse_target, runtime_of
from experiments.recipes import NETWORKS, ROOT
from nas.export.comparison import relative_latency
from nas.run.environment import environment
from nas.testing import random_arrays
from search_spaces import Architecture

SHARES = (0.5, 0.9)  # of the weights of a kernel that are zero


def sparse(arrays: Weights, share: float) -> Weights:
    """Returns arrays whose kernels have a share of zeros, in the place of their smallest weights."""
    return {name: np.where(np.abs(array) < np.quantile(np.abs(array), share), 0, array).astype(np.float32)
            if name.endswith("/kernel") else array for name, array in arrays.items()}


def main() -> None:
    """Times the files, records and prints their relative latencies."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--targets", nargs="+", default=["onnxruntime", "litert"])
    parser.add_argument("--networks", nargs="+", default=["medium", "large"], choices=list(NETWORKS))
    parser.add_argument("--record", type=Path, default=ROOT / "experiments/results/sparsity.json")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    table = Table("network", "target", *(f"{share:.0%} zeros" for share in SHARES), title="latency, 1 is that without")
    for name in arguments.networks:
        network = Architecture.parse(f"in_r28_c1+{NETWORKS[name]}_n10")
        arrays = random_arrays(network, seed=0)
        for target in map(parse_target, arguments.targets):
            with temporary_directory() as place:
                runtime = runtime_of(target)
                files = [place / f"{index}{runtime.suffix}" for index in range(len(SHARES) + 1)]
                for file, share in zip(files, (0.0, *SHARES), strict=True):
                    runtime.write(network, sparse(arrays, share), file, {})
                found = [relative_latency(target, file, files[0], network.program.input_shape) for file in files[1:]]
            rows += [{"network": name, "target": target.text, "zeros": share, "relative_latency": round(ratio, 4)}
                     for share, ratio in zip(SHARES, found, strict=True)]
            table.add_row(name, target.text, *(f"{ratio:.3f}" for ratio in found))
    write_whole(arguments.record, (json.dumps({"environment": environment(), "rows": rows}, indent=1) + "\n").encode())
    Console(width=100).print(table)


if __name__ == "__main__":
    main()

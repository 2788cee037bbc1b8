"""How well is latency predicted from few rows of tables that others have measured?

    python -m experiments.predictor_tables        # ten draws of each, about three minutes

100 random rows of Accel-NASBench (Ahmad et al. 2024; a MnasNet space on an FPGA and two GPUs), tested on the other
4,000; 60 random rows of the log of Archai's search for a facial landmark network (MobileNetV2 space, ONNX Runtime),
tested on the other 164. Beside the predictor a straight line through multiply-adds, fitted to the same rows by relative
errors. Throughputs are predicted as times of an image. The bars, in the mean of ten draws: Spearman's correlation at
least 0.975 and median error at most 7 % on the FPGA, 0.99 and 5 % on the GPUs; Archai's log is only reported.

The tables lie in `../shared/data`, where there is one; they are not part of this project.
"""

import argparse
import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from evaluators.benchmarks.networks import accel_nasbench
from evaluators.machine.files import write_whole
from evaluators.prediction.predictor import LEVEL, fit
from evaluators.prediction.rows import Measured
from nas.run.environment import environment
from search_spaces.architecture import SEPARATOR, Architecture
from search_spaces.blocks.conventions import round_channels

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).parents[1] / "../shared/data"
DRAWS = 10
COLUMNS = {"FPGA": "zcu102_latency_mean", "A100": "a100_throughput_mean", "RTX 3090": "3090_throughput_mean"}
BARS = {"FPGA": (0.975, 0.07), "A100": (0.99, 0.05), "RTX 3090": (0.99, 0.05)}  # Spearman, median error
TRAINING = {"FPGA": 100, "A100": 100, "RTX 3090": 100, "Archai": 60}


def accel_rows(device: str, data: Path = DATA) -> list[Measured]:
    """Returns the measured networks of Accel-NASBench on one of `COLUMNS`; throughputs as ms an image."""
    column = COLUMNS[device]
    with gzip.open(data / "accel_nasbench_train" / "accel_nasbench_train.csv.gz", "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if row[column]]
    return [(accel_nasbench(row), 1000 / float(row[column]) if "throughput" in column else float(row[column]))
            for row in rows]


def archai_rows(data: Path = DATA) -> list[Measured]:
    """Returns the measured networks of Archai's log."""
    with (data / "archai_mbv2_latency" / "search_results_with_full_validation_error.csv").open() as lines:
        return [(archai_network(json.loads(row["config"])), float(row["onnx_latency_(ms)"]))
                for row in csv.DictReader(lines)]


def archai_network(config: dict[str, Any]) -> Architecture:
    """Returns the network of a row of Archai's log: timm's MobileNetV2, with stage depths rounded up.

    The log states neither stem nor head nor input: those of timm (32 and 1,280 channels, both widened, the head never
    narrowed) are taken, and 128 pixels.
    """
    width, depth = config["channel_multiplier"], config["depth_multiplier"]
    tokens = ["in_r128_c3_symmetric", f"conv_k3_c{round_channels(32 * width)}_s2_relu6"]
    for (stage,) in config["arch_def"]:
        options = {part.rstrip("0123456789"): int(part.lstrip("irdskec")) for part in stage.split("_")[1:]}
        channels, kernel = round_channels(options["c"] * width), options["k"]
        for layer in range(int(np.ceil(options["r"] * depth))):
            stride, expansion = 1 if layer else options["s"], options.get("e", 1)
            tokens.append(f"mb_k{kernel}_e{expansion}_c{channels}_s{stride}_se0_relu6")
    return Architecture.parse(SEPARATOR.join([*tokens, f"head_c{round_channels(1280 * max(width, 1))}_relu6_n140"]))


def line_through_macs(training: list[Measured], macs: np.ndarray) -> np.ndarray:
    """Returns the predictions of a line through multiply-adds, of least relative errors on the training rows."""
    known, times_ms = np.array([row[0].macs for row in training]), np.array([row[1] for row in training])
    design = np.stack([np.ones(len(known)), known], 1)
    return np.stack([np.ones(len(macs)), macs], 1) @ np.linalg.lstsq(design / times_ms[:, None], np.ones(len(known)))[0]


def draw(rows: list[Measured], count: int, seed: int) -> dict[str, dict[str, float]]:
    """Returns the errors on all rows but `count` random ones, from which is learned."""
    order = np.random.default_rng(seed).permutation(len(rows))
    training, test = [rows[index] for index in order[:count]], [rows[index] for index in order[count:]]
    truth = np.array([row[1] for row in test])
    predictions = fit(training).predict([row[0] for row in test])
    intervals = np.array([prediction.interval_ms() for prediction in predictions])
    line = line_through_macs(training, np.array([row[0].macs for row in test]))
    found = figures(np.array([prediction.median_ms for prediction in predictions]), truth)
    inside = np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    return {"predictor": found | {f"inside the {LEVEL:.0%} interval": float(inside)},
            "line through MACs": figures(line, truth)}


def figures(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Returns the rank correlations of predicted latencies with measured ones, and their relative errors."""
    errors = np.abs(predicted / truth - 1)
    return {"Spearman": float(spearmanr(predicted, truth).statistic),
            "Kendall tau": float(kendalltau(predicted, truth).statistic),
            "median error": float(np.median(errors)), "within 10 %": float(np.mean(errors <= 0.1))}


def main() -> None:
    """Runs the draws and prints their means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--data", type=Path, default=DATA, help="directory of the tables")
    arguments = parser.parse_args()
    draws, data = arguments.draws, arguments.data
    found: dict[str, Any] = {}
    for name, count in TRAINING.items():
        rows = archai_rows(data) if name == "Archai" else accel_rows(name, data)
        results = [draw(rows, count, seed) for seed in range(draws)]
        found[name] = {"rows": len(rows), "training rows": count, "draws": draws, **{
            model: {figure: round(float(np.mean([result[model][figure] for result in results])), 4)
                    for figure in results[0][model]} for model in results[0]}}
        print(name, json.dumps(found[name]))
        if name in BARS:
            spearman, error = BARS[name]
            mean = found[name]["predictor"]
            met = mean["Spearman"] >= spearman and mean["median error"] <= error
            print(f"  at least {spearman}, at most {error:.0%}: {'met' if met else 'missed'}")
    content = json.dumps({"results": found, "environment": environment()}, indent=1)
    write_whole(RESULTS / "predictor_tables.json", f"{content}\n".encode())


if __name__ == "__main__":
    main()

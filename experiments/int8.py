"""How much accuracy does quantisation after training cost, in each format, with VNNI and without it?

    python -m experiments.int8            # what is not recorded yet
    python -m experiments.int8 --report   # the table of what is recorded

A winner of a search and nine networks made by hand, of as many families, are trained alike on the embedded images; the
weights are kept in build/int8. Each is written in float32 and in int8, for ONNX Runtime and for LiteRT, calibrated on
the training images that an export takes, and its files are tested on all test images: on this processor, and in a
process from which VNNI is hidden, where Linux can trap CPUID. Training takes half an hour on two cores, all else two
minutes. Expected: no file loses more than a point.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.networks.checkpoint import load_network, save_network
from evaluators.networks.weights import Weights
from evaluators.recipe import Recipe
from evaluators.runtimes import parse_target, runtime_of
from evaluators.training.train import Images, train
from nas.export.certificate import ACCURACY_LOSS_POINTS
from nas.export.comparison import Reference
from nas.measuring.inputs import calibration_images
from nas.run.environment import environment
from search_spaces import Architecture

ROOT = Path(__file__).parents[1]
RESULT, KEPT = ROOT / "experiments/results/int8.json", ROOT / "build/int8"
HIDING = ROOT / "tests/evaluators/runtimes/without_vnni.c"
EPOCHS = 5
HERE, WITHOUT = "with VNNI", "without"
TARGETS = {"ONNX": "onnxruntime:precision=int8", "LiteRT": "litert:precision=int8"}
NETWORKS = {
    "winner of a search": "in_r28_c1+conv_k3_c16_s2_hswish+sep_k3_c32_s1_relu+conv_k3_c32_s2_relu+conv_k3_c48_s2_relu+"
                          "mb_k5_e6_c48_s1_se0.25_hswish+fc_n10",
    "MobileNetV1": "in_r28_c1+conv_k3_c40_s2_relu+sep_k3_c80_s1_relu+sep_k3_c168_s2_relu+sep_k3_c328_s2_relu+fc_n10",
    "MobileNetV2": "in_r28_c1+conv_k3_c16_s2_relu6+mb_k3_e1_c8_s1_se0_relu6+mb_k3_e6_c16_s2_se0_relu6+"
                   "mb_k3_e6_c16_s1_se0_relu6+mb_k3_e6_c16_s2_se0_relu6+mb_k3_e6_c16_s1_se0_relu6+head_c696_relu6_n10",
    "MobileNetV3 small": "in_r28_c1+conv_k3_c16_s2_hswish+mb_k3_e1_c16_s2_se0.25_relu+mb_k3_e4.5_c16_s2_se0_relu+"
                         "mb_k3_e3.666666667_c16_s1_se0_relu+head_c344_hswish_n10_d608",
    "MobileNetV3 large": "in_r28_c1+conv_k3_c8_s2_hswish+mb_k3_e1_c8_s1_se0_relu+mb_k3_e4_c16_s2_se0_relu+"
                         "mb_k3_e3_c16_s1_se0_relu+mb_k5_e3_c16_s2_se0.25_relu+mb_k5_e3_c16_s1_se0.25_relu+"
                         "head_c368_hswish_n10_d496",
    "EfficientNet-Lite": "in_r28_c1+conv_k3_c16_s2_relu6+mb_k3_e1_c8_s1_se0_relu6+mb_k3_e6_c16_s2_se0_relu6+"
                         "mb_k3_e6_c16_s1_se0_relu6+mb_k5_e6_c24_s2_se0_relu6+mb_k5_e6_c24_s1_se0_relu6+"
                         "head_c640_relu6_n10",
    "ShuffleNetV2": "in_r28_c1+conv_k3_c8_s2_relu+shuffle2_c32_s2_relu+shuffle2_c72_s2_relu+shuffle2_c136_s1_relu+"
                    "head_c304_relu_n10",
    "MobileNeXt": "in_r28_c1+conv_k3_c32_s2_relu6+sand_k3_r2_c96_s2_relu6_bothdw+sand_k3_r6_c144_s1_relu6+"
                  "sand_k3_r6_c192_s2_relu6+sand_k3_r6_c192_s1_relu6+fc_n10",
    "SqueezeNet": "in_r28_c1+conv_k3_c32_s2_relu_bias_valid+fire_q8_c64_relu+pool_max_k3_s2_ceil_valid+"
                  "fire_q16_c128_relu+pool_max_k3_s2_ceil_valid+fire_q24_c192_relu+fire_q32_c256_relu+convfc_n10_relu",
    "EfficientNet": "in_r28_c1+conv_k3_c16_s2_swish+mb_k3_e1_c16_s1_se0.25_swish+mb_k3_e6_c24_s2_se0.25_swish+"
                    "mb_k5_e6_c40_s2_se0.25_swish+head_c160_swish_n10",
}
CLASSES = """
import sys
import numpy as np
from evaluators.runtimes import RUNTIMES, Options
np.save(sys.argv[4], RUNTIMES[sys.argv[1]].load(sys.argv[2], Options()).run(np.load(sys.argv[3])).argmax(-1))
"""


def trained(name: str, dataset: Dataset) -> tuple[Architecture, Weights]:
    """Returns a network and its arrays after the training, which is kept."""
    path = KEPT / f"{name}.safetensors"
    if path.exists():
        network = load_network(path)
        return network.architecture, network.arrays()
    architecture, both = Architecture.parse(NETWORKS[name]), dataset.train_and_validation
    found = train(architecture, Images.put(both.images, both.labels, dataset), None, Fidelity(Recipe(epochs=EPOCHS)))
    KEPT.mkdir(parents=True, exist_ok=True)
    save_network(architecture, found.arrays, path)
    return architecture, found.arrays


def processes(directory: Path) -> dict[str, Mapping[str, str]]:
    """Returns the environments of processes with VNNI and without, as far as this machine can have them."""
    path = Path("/proc/cpuinfo")
    flags = path.read_text() if path.exists() else ""
    here: dict[str, Mapping[str, str]] = {HERE if "vnni" in flags else WITHOUT: os.environ}
    if HERE in here and "cpuid_fault" in flags and shutil.which("cc"):
        library = directory / "without_vnni.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, HIDING], check=True)
        here[WITHOUT] = os.environ | {"LD_PRELOAD": str(library)}
    return here


def measured(architecture: Architecture, arrays: Weights, dataset: Dataset) -> dict[str, Any]:
    """Returns the accuracy of a network in float32, and of its files of int8 in each process, with their sizes."""
    reference = Reference.of(architecture, arrays, dataset, seed=0)
    images = np.concatenate(list(reference.batches()))[:len(dataset.test)]
    found: dict[str, Any] = {"float32": float(np.mean(reference.logits.argmax(-1) == dataset.test.labels))}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        np.save(directory / "images.npy", images)
        for form, text in TARGETS.items():
            target = parse_target(text)
            runtime = runtime_of(target)
            path = directory / f"model{runtime.suffix}"
            runtime.write(architecture, arrays, path, {}, calibration_images(architecture, dataset, seed=0))
            found[form] = {"size_bytes": path.stat().st_size}
            for where, variables in processes(directory).items():
                subprocess.run([sys.executable, "-c", CLASSES, target.runtime, path, directory / "images.npy",
                                directory / "classes.npy"], env=variables, check=True)
                found[form][where] = float(np.mean(np.load(directory / "classes.npy") == dataset.test.labels))
    return found


def table(networks: Mapping[str, Any]) -> str:
    """Returns the recorded accuracies as a table in Markdown, and the number within a point in each column."""
    columns = [(form, where) for form in TARGETS for where in (HERE, WITHOUT)]
    lines = ["| accuracy (%) | float32 | " + " | ".join(f"{form}, {where}" for form, where in columns) + " |",
             "|---|---|" + "---|" * len(columns)]
    lines += [f"| {name} | {100 * found['float32']:.2f} | " + " | ".join(
        f"{100 * found[form][where]:.2f}" if where in found[form] else "" for form, where in columns) + " |"
        for name, found in networks.items()]
    within = [sum(100 * (found["float32"] - found[form][where]) <= ACCURACY_LOSS_POINTS + 1e-9
                  for found in networks.values() if where in found[form]) for form, where in columns]
    lines.append(f"| loses at most {ACCURACY_LOSS_POINTS:g} point | {len(networks)} | "
                 + " | ".join(map(str, within)) + " |")
    return "\n".join(lines)


def recorded(description: str, result: Path, measure: Callable[[Architecture, Weights, Dataset], Any]
             ) -> dict[str, Any]:
    """Returns the record of a command that measures each trained network, without any new one under `--report`."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="measure nothing")
    record = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {"networks": {}}
    dataset = None if parser.parse_args().report else load_dataset("fashion-mnist")
    for name in NETWORKS:
        if dataset is not None and name not in record["networks"]:
            record["networks"][name] = measure(*trained(name, dataset), dataset)
            print(f"{name}: {record['networks'][name]}", flush=True)
            whole = {**record, "epochs": EPOCHS, "environment": environment()}
            write_whole(result, (json.dumps(whole) + "\n").encode())
    return record


def main() -> None:
    """Measures the networks that are not recorded yet, and prints the table."""
    print(table(recorded(__doc__ or "", RESULT, measured)["networks"]))


if __name__ == "__main__":
    main()

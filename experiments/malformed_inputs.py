"""Malformed inputs of every kind that `nas` reads, each made of an intact one by chance; see `malformed.py`."""

import functools
import gzip
import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from evaluators.benchmarks.tables import OWN
from evaluators.machine.files import write_whole
from evaluators.networks.checkpoint import save_network
from evaluators.networks.weights import initial_arrays
from search_spaces.architecture import Architecture

TEXT = "in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0.25_hswish+dense_g4_n2_relu+head_c16_relu_n3"
SPACE = "conv_k3_c8/16_s2_relu", "mb_k3/5_e3_c8_s1_se0/0.25_relu_x0/1/2//sep_k3_c8_s1_relu_x0/1/2", "head_c16_relu"
IMPORTED = "mobilenet_v1_0.25"
TABLE = "--target", "table:{in}/rows.csv"  # of which latencies are predicted, so that nothing is timed
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")
NUMBERS = ("0", "-1", "1e9", "999999999", "9" * 5000, "nan", "inf", "-inf", "1e-300", "1e308", "0.5", "1e", "", "1/2/3",
           "0x10", "²", "null", "true", '"x"', "[]", "{}")
PIECES = ("\x00", "\x1b[31m", "\r\n", "\u202e", "\ud7ff", "🙂", "'", '"', "\\", "{", "}", "[" * 20_000,
          "{'a':" * 20_000, "+" * 3000, "/" * 3000, "_" * 3000, "a" * 200_000, "a." * 5000, ",", "=", ":", "//",
          "%s%n", "../../etc/passwd", "~", "-", "\n[a]\n", "<!--", "\t")
Make = Callable[[random.Random, Path, Path], list[str]]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        count: how many are tried.
        make: writes an input into a folder, made of the intact ones in another, and returns the arguments of `nas`.
        accepted: a part of the refusal that only an input gets which was read well.
    """

    count: int
    make: Make
    accepted: str = "\0"


def damaged_text(chance: random.Random, text: str) -> str:
    """Returns a text with one to three numbers, pieces or places changed."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        numbers = list(NUMBER.finditer(text))
        at = chance.randrange(len(text) + 1)
        match chance.randrange(6):
            case 0 | 1 if numbers:
                one = chance.choice(numbers)
                text = text[:one.start()] + chance.choice(NUMBERS) + text[one.end():]
            case 2:
                text = text[:at] + chance.choice(PIECES) + text[at:]
            case 3:
                text = text[:at] + text[at + chance.randint(1, 30):]
            case 4:
                text = text[:at] + text[chance.randrange(len(text) + 1):][:200] + text[at:]
            case _:
                text = text[:at] + chr(chance.randint(32, 126)) + text[at + 1:]
    return text


def damaged_bytes(chance: random.Random, content: bytes) -> bytes:
    """Returns a content that is cut, or has some other bytes, more near its begin, where headers are."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(min(len(found), chance.choice((16, 200, len(found) or 1))) + 1)
        match chance.randrange(5):
            case 0:
                del found[at:]
            case 1:
                found[at:at + chance.choice((1, 4, 8))] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            case 2:
                found[at:at] = chance.randbytes(chance.choice((1, 8, 1000)))
            case _:
                found[at:at + 1] = chance.randbytes(1)
    return bytes(found)


def intact_inputs(folder: Path, whole: bool = True) -> None:
    """Writes the intact inputs into a folder; the whole of them has a run and an export, which take their time."""
    from evaluators.prediction.predictor import fit
    from nas.engine.search import run_search
    from nas.export.train import train
    from nas.measuring.survey import members
    from nas.problem.budgets import Budgets
    from nas.run.config import SearchConfig
    from search_spaces import SPACES
    from search_spaces.zoo import load_network

    folder.mkdir(parents=True, exist_ok=True)
    architecture = Architecture.parse(TEXT)
    save_network(architecture, initial_arrays(architecture.program, 0), folder / "own.safetensors")
    save_file(_state_dict(load_network(IMPORTED)), folder / "other.safetensors")
    stages = ",\n".join(f'"{stage}"' for stage in SPACE)
    (folder / "space.toml").write_text(f'scale = "scale_w0.5/1"\ninput = "in"\nstages = [\n{stages}]\n')
    (folder / "tiny.toml").write_text('stages = ["conv_k3_c8_s2_relu", "head_c16_relu"]\n')
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (24, 6, 6), np.uint8), np.arange(24, dtype=np.uint8) % 3
    np.savez_compressed(folder / "data.npz", x_train=images, y_train=labels, x_test=images[:6], y_test=labels[:6])
    networks = [SPACES["mobile"].bind(12, 1, 3).decode(one) for one in members(SPACES["mobile"].bind(12, 1, 3), 12, 0)]
    fit([(network, 0.1 + network.macs / 1e7) for network in networks]).save(folder / "predictor.json")
    lines = [f"{network},{0.1 + network.macs / 1e7}" for network in networks]
    (folder / "rows.csv").write_text("\n".join(["architecture,latency_ms", *lines, ""]))
    curves = Path(OWN["learning-curves"]).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "curves.csv").write_text("".join(curves[:9]))
    (folder / "macro.json").write_text(json.dumps({key: {"mean_acc": 90.5} for key in ("22222222", "12121212")}))
    if not whole:
        return
    run_search(SearchConfig(data="table:learning-curves", objectives=("accuracy", "macs"), strategy="random", trials=3),
               folder / "run")
    train(TEXT, epochs=0, budgets=Budgets(), formats=["flax"], out=folder / "export")


def _state_dict(architecture: Architecture) -> dict[str, np.ndarray]:
    """Returns the arrays of a network in the names and the layout of PyTorch, without their values."""
    leaves = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    found = {}
    for index, operation in enumerate(architecture.program.operations):
        for name, shape in operation.arrays.items():
            theirs = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
            found[f"layers.{index}.{leaves[name.rpartition('/')[2]]}"] = np.ones(theirs, np.float32)
    return found


def _text(chance: random.Random, intact: Path, folder: Path) -> list[str]:
    return ["show", "--", damaged_text(chance, TEXT).replace("\0", "")[:100_000]]


def _file(name: str, *arguments: str, binary: bool = False) -> Make:
    """Returns the maker of a damaged copy of a file; `{}` in the arguments is its path, `{out}` the output's."""
    def make(chance: random.Random, intact: Path, folder: Path) -> list[str]:
        content = _read(intact / name)
        path = folder / Path(name).name
        path.write_bytes(damaged_bytes(chance, content) if binary else
                         damaged_text(chance, content.decode()).encode(errors="surrogatepass"))
        return [one.replace("{}", str(path)).replace("{out}", str(folder / "out")).replace("{in}", str(intact))
                for one in arguments]
    return make


@functools.cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


def _either(*makes: Make) -> Make:
    return lambda chance, intact, folder: chance.choice(makes)(chance, intact, folder)


def _beside(name: str, *arguments: str) -> Make:
    """Returns the maker of a copy of an intact directory whose file of this name is damaged."""
    def make(chance: random.Random, intact: Path, folder: Path) -> list[str]:
        parent, own = Path(name).parts
        for path in (intact / parent).iterdir():
            if path.suffix == ".db":  # no file of an export, so that nothing is timed
                write_whole(folder / path.name, _read(path))
        (folder / own).write_text(damaged_text(chance, _read(intact / name).decode()), errors="surrogatepass")
        return [one.replace("{}", str(folder)) for one in arguments]
    return make


def _weights(name: str, *arguments: str) -> Make:
    """Returns the maker of a safetensors file whose header, numbers or bytes are damaged."""
    def make(chance: random.Random, intact: Path, folder: Path) -> list[str]:
        content = _read(intact / name)
        length = int.from_bytes(content[:8], "little")
        header, data = content[8:8 + length].decode(), content[8 + length:]
        match chance.randrange(4):
            case 0:
                header = re.sub("F32", lambda _: chance.choice(("F32", "I32", "U32", "F16", "BF16", "X")), header)
            case 1:
                header = damaged_text(chance, header)
            case 2:
                values = np.frombuffer(data, np.float32).copy()
                values[chance.randrange(len(values))] = chance.choice((np.nan, np.inf, -np.inf, 1e38, -1e30))
                data = values.tobytes()
            case _:
                data = damaged_bytes(chance, data)
        text = header.encode(errors="replace")
        path = folder / Path(name).name
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        return [one.replace("{}", str(path)).replace("{out}", str(folder / "out.safetensors")) for one in arguments]
    return make


def _shown(intact: Path, data: Path) -> list[str]:
    """Returns the arguments that read data, and what is done with them takes no time."""
    target = [one.replace("{in}", str(intact)) for one in TABLE]
    return ["space", str(intact / "tiny.toml"), "--data", str(data), *target]


def _archive(chance: random.Random, intact: Path, folder: Path) -> list[str]:
    """Makes an npz file whose headers lie, whose arrays are of other shapes and types, or whose bytes are damaged."""
    path, file = folder / "data.npz", io.BytesIO()
    with np.load(intact / "data.npz") as archive, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as damaged:
        for name, array in list(archive.items()):
            entry = io.BytesIO()
            if chance.random() < 0.3:
                dtype = chance.choice((np.float64, np.uint16, np.int64, np.complex64, "U3", "S2", bool))
                array = array.astype(dtype).reshape(chance.choice(((-1,), (1, -1), (-1, 1, 1), array.shape)))
            np.lib.format.write_array(entry, array)
            content = entry.getvalue()
            if chance.random() < 0.2:
                content = content[:8] + damaged_text(chance, content[8:].decode("latin1")).encode("latin1", "replace")
            name = damaged_text(chance, name)[:200] if chance.random() < 0.1 else name
            damaged.writestr(f"{name}.npy", content)
    path.write_bytes(damaged_bytes(chance, file.getvalue()) if chance.random() < 0.5 else file.getvalue())
    return _shown(intact, path)


def _idx(chance: random.Random, intact: Path, folder: Path) -> list[str]:
    """Makes a folder of IDX files, one of which is damaged or lies about its dimensions."""
    with np.load(intact / "data.npz") as archive:
        files = {"train-images-idx3-ubyte": archive["x_train"], "train-labels-idx1-ubyte": archive["y_train"],
                 "t10k-images-idx3-ubyte": archive["x_test"], "t10k-labels-idx1-ubyte": archive["y_test"]}
    wrong = chance.choice(list(files))
    for name, array in files.items():
        sizes = [chance.choice((size, 0, 2**31, 2**32 - 1, 10**6)) if name == wrong else size for size in array.shape]
        content = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *sizes) + array.tobytes()
        packed = chance.random() < 0.5
        content = gzip.compress(content) if packed else content
        content = damaged_bytes(chance, content) if name == wrong and chance.random() < 0.5 else content
        (folder / f"{name}{'.gz' * packed}").write_bytes(content)
    return _shown(intact, folder)


def _images(chance: random.Random, intact: Path, folder: Path) -> list[str]:
    """Makes a folder of images of all formats, one of which is damaged or claims to be huge."""
    from PIL import Image

    generator = np.random.default_rng(chance.randrange(2**32))
    forms = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
    for index in range(8):
        file, form = io.BytesIO(), chance.choice(forms)
        Image.fromarray(generator.integers(0, 256, (9, 9, 3), np.uint8)).save(file, form)
        content = file.getvalue()
        if index == 3:
            content = damaged_bytes(chance, content)
        if index == 5 and form == "BMP":
            size = struct.pack("<2i", *chance.choices((9, 10_000, 2**30, -9), k=2))
            content = content[:18] + size + content[26:]
        place = folder / f"class{index % 2}" / f"{index}.{form.lower()}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
    return _shown(intact, folder)


OPTIONS = {"--target": ("onnxruntime:threads=2,cores=0-1", "command[batch=2,timeout_s=9]:bench {batch} {model}",
                        "litert:batch=8", "table[batch=8]:phone.csv"),
           "--latency": ("0.09ms", "p30", "80us"), "--macs": ("20M",), "--memory": ("512KiB",), "--size": ("1.5MB",),
           "--throughput": ("5k",), "--resolution": ("28",), "--time": ("30m",), "--trials": ("20",),
           "--rungs": ("1,3",),
           "--epochs": ("3",), "--batch": ("64",), "--seed": ("0",), "--workers": ("2",), "--patience": ("5",),
           "--brackets": ("2",), "--objectives": ("accuracy,latency",), "--strategy": ("tpe", "module:Name"),
           "--evaluator": ("module:function",), "--start": ("by-hand,filled",), "--space": ("mobile",),
           "--augmentation": ("shift",), "--compile": ("auto",), "--latency-from": ("predictor",)}


def _options(chance: random.Random, intact: Path, folder: Path) -> list[str]:
    """Makes the options of a search in data that are not there, so that none begins."""
    names = chance.sample(list(OPTIONS), chance.randint(1, 3))
    texts = [damaged_text(chance, chance.choice(OPTIONS[name])).replace("\0", "")[:100_000] for name in names]
    return ["search", "--data", "./nowhere.npz", "--run", str(folder / "out"),
            *(f"{name}={text}" for name, text in zip(names, texts, strict=True))]


KINDS = {
    "text of an architecture": Kind(1500, _text),
    "space file": Kind(600, _file("space.toml", "space", "{}", "--data", "{in}/data.npz", *TABLE)),
    "options of a search": Kind(1500, _options, "nowhere.npz"),
    "run.toml": Kind(700, _beside("run/run.toml", "pareto", "{}")),
    "certificate": Kind(600, _beside("export/certificate.json", "certify", "{}"), "another or missing"),
    "predictor": Kind(900, _file("predictor.json", "latency", "predict", "{}", TEXT)),
    "table of timings": Kind(900, _file("rows.csv", "latency", "fit", "--rows", "{}", "--out", "{out}")),
    "table of a benchmark": Kind(900, _either(
        _file("curves.csv", "space", "fitted", "--data", "table:learning-curves:{}", *TABLE),
        _file("macro.json", "space", "fitted", "--data", "table:nas-bench-macro:{}", *TABLE))),
    "weights of our own": Kind(900, _weights("own.safetensors", "show", "{}")),
    "weights to import": Kind(400, _weights("other.safetensors", "import-weights", IMPORTED, "{}", "--out", "{out}")),
    "npz file": Kind(600, _archive),
    "IDX files": Kind(300, _idx),
    "images": Kind(200, _images),
}

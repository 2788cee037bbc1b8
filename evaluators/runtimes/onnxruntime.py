"""ONNX files and ONNX Runtime on the CPU."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.runtimes.onnx_graph import INPUT, OUTPUT, channels_first, onnx_model, prepend_normalisation
from evaluators.runtimes.onnx_int8 import onnx_int8_model
from evaluators.runtimes.runtime import BYTES_LAYOUT, Argument, Arrays, Place, Session, as_taken, moments
from evaluators.runtimes.stored_weights import store_onnx_weights
from evaluators.runtimes.target import INT8, STORED, Options, Target
from search_spaces.architecture import Architecture


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime with its CPU provider."""

    place: ClassVar[Place] = Place.APART
    argument: ClassVar[Argument] = Argument.NONE
    options: tuple[str, ...] = ("threads", "batch", "precision", "cores")
    format: str = "onnx"
    suffix: str = ".onnx"
    input_layout: str = "float32 [batch, channels, height, width]"
    module: str = "onnxruntime"
    precision: str = "float32"

    def bound(self, target: Target) -> Self:
        """Returns the runtime that writes files of the target's precision."""
        return dataclasses.replace(self, precision=target.options.precision)

    def versions(self) -> dict[str, str]:
        """Returns the version of ONNX Runtime."""
        import onnxruntime

        return {"onnxruntime": onnxruntime.__version__}

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
              images: np.ndarray | None = None, *, inside: bool = False) -> None:
        """Writes the network as an ONNX model `image [batch, C, H, W]` -> `logits [batch, classes]`.

        With its normalisation inside, it takes bytes `image [batch, H, W, C]`, as image files are read.
        """
        import onnx

        model = (onnx_int8_model(architecture.program, arrays, images) if self.precision == INT8 else
                 onnx_model(architecture.program, arrays))
        if self.precision in STORED:
            store_onnx_weights(model, self.precision)
        if inside:
            prepend_normalisation(model, *moments(metadata))
        for value, said in ((model.graph.input[0], BYTES_LAYOUT if inside else self.input_layout),
                            (model.graph.output[0], "float32 [batch, classes], to be put into a softmax")):
            value.doc_string = said
        onnx.helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        write_whole(path, model.SerializeToString())

    def load(self, path: Path, options: Options) -> Session:
        """Returns the file in an inference session of its own."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3  # errors only
        return OnnxSession(onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"]))


@dataclass(frozen=True)
class OnnxSession:
    """An ONNX Runtime inference session."""

    session: Any

    def run(self, images: np.ndarray) -> np.ndarray:
        """Returns logits `[B, classes]` of images `[B, H, W, C]`, normalised or bytes as the file takes them."""
        return self.session.run([OUTPUT], {INPUT: taken(images, self._takes_bytes)})[0]

    def prepared(self, images: np.ndarray) -> Callable[[], None]:
        """Returns a function that runs these images once, from and to memory of ONNX Runtime."""
        import onnxruntime

        binding = self.session.io_binding()
        binding.bind_ortvalue_input(INPUT, onnxruntime.OrtValue.ortvalue_from_numpy(taken(images, self._takes_bytes)))
        binding.bind_output(OUTPUT)
        run = self.session.run_with_iobinding
        return lambda: run(binding)

    @property
    def _takes_bytes(self) -> bool:
        return self.session.get_inputs()[0].type == "tensor(uint8)"


def taken(images: np.ndarray, takes_bytes: bool) -> np.ndarray:
    """Returns images `[B, H, W, C]` as an ONNX file takes them: bytes as they are, others with their channels first."""
    return as_taken(images, np.uint8) if takes_bytes else channels_first(images)

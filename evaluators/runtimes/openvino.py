"""OpenVINO on the CPU, which reads our ONNX files."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from evaluators.runtimes.onnxruntime import OnnxRuntime, taken
from evaluators.runtimes.runtime import Argument, Arrays, Place, Session
from evaluators.runtimes.target import Options, Target
from search_spaces.architecture import Architecture


@dataclass(frozen=True)
class OpenVino:
    """OpenVINO's CPU plug-in."""

    place: ClassVar[Place] = Place.APART
    argument: ClassVar[Argument] = Argument.NONE
    options: tuple[str, ...] = ("threads", "batch", "precision", "cores")
    format: str = "onnx"
    suffix: str = ".onnx"
    input_layout: str = OnnxRuntime.input_layout
    module: str = "openvino"
    precision: str = "float32"

    def bound(self, target: Target) -> Self:
        """Returns the runtime that writes files of the target's precision."""
        return dataclasses.replace(self, precision=target.options.precision)

    def versions(self) -> dict[str, str]:
        """Returns the version of OpenVINO."""
        from importlib.metadata import version

        return {"openvino": version("openvino")}

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
              images: np.ndarray | None = None, *, inside: bool = False) -> None:
        """Writes the network as an ONNX model `image [batch, C, H, W]` -> `logits [batch, classes]`."""
        OnnxRuntime(precision=self.precision).write(architecture, arrays, path, metadata, images, inside=inside)

    def load(self, path: Path, options: Options) -> Session:
        """Returns the file, compiled for each batch on its first run.

        What is not in int8 runs in float32, also on processors where OpenVINO would take bfloat16 by itself; and
        what reads stored weights of int8 would have its values quantised too.
        """
        import openvino

        settings = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": options.threads,
                    "INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
        return OpenVinoSession(openvino.Core(), path, settings)


@dataclass(frozen=True)
class OpenVinoSession:
    """An ONNX file and how OpenVINO is to compile it."""

    core: Any
    path: Path
    settings: Mapping[str, Any]

    def run(self, images: np.ndarray) -> np.ndarray:
        """Returns logits `[B, classes]` of images `[B, H, W, C]`, normalised or bytes as the file takes them."""
        request = self._request(images)
        request.infer()
        return np.array(request.get_output_tensor().data)

    def prepared(self, images: np.ndarray) -> Callable[[], None]:
        """Returns a function that runs these images once, from and to memory of OpenVINO."""
        infer = self._request(images).infer
        return lambda: infer(share_outputs=True)

    def _request(self, images: np.ndarray) -> Any:
        """Returns an inference request that has its images, for their number exactly."""
        import openvino

        model = self.core.read_model(self.path)
        inputs = taken(images, model.input().element_type == openvino.Type.u8)
        model.reshape(list(inputs.shape))
        request = self.core.compile_model(model, "CPU", self.settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(inputs))
        return request

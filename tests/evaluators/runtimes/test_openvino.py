import numpy as np
import pytest

from evaluators.runtimes import RUNTIMES, Options, parse_target, runtime_of
from search_spaces import SPACES, Architecture

pytest.importorskip("openvino", reason="needs the extra openvino")
OPENVINO = RUNTIMES["openvino"]


@pytest.mark.parametrize("seed", range(2))
def test_openvino_computes_random_members_of_the_ready_space(seed, tmp_path, random_arrays, assert_computes):
    space = SPACES["mobile"].bind(28, 1, 10)
    architecture = space.decode(space.sample(np.random.default_rng(seed)))
    arrays = random_arrays(architecture.program, seed)
    path = tmp_path / "model.onnx"
    OPENVINO.write(architecture, arrays, path, {})
    session = OPENVINO.load(path, Options())
    for batch in (1, 3):
        images = np.random.default_rng(0).standard_normal((batch, *architecture.program.input_shape), np.float32)
        assert_computes(architecture.program, arrays, images, session.run(images))


def test_threads_and_the_precision_are_those_of_the_target(tmp_path, random_arrays):
    architecture = Architecture.parse("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3")
    target = parse_target("openvino:threads=2")
    runtime = runtime_of(target)
    path = tmp_path / "model.onnx"
    runtime.write(architecture, random_arrays(architecture.program, 0), path, {})
    session = runtime.load(path, target.options)
    compiled = session.core.compile_model(session.core.read_model(path), "CPU", session.settings)
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 2
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"

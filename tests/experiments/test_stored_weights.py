"""The table of what files of other precisions save and cost."""

from experiments.stored_weights import OTHERS, table


def files(size_bytes, accuracy, latencies_ms):
    float32 = {"size_bytes": 200, "accuracy": 0.9, "latencies_ms": [1.0, 2.0, 1.0]}
    other = {"size_bytes": size_bytes, "accuracy": accuracy, "latencies_ms": latencies_ms}
    return {"float32": float32, **dict.fromkeys(OTHERS, other)}


def test_files_are_compared_with_those_of_float32_turn_by_turn():
    networks = [files(100, 0.91, [0.5, 1.0, 0.9]), files(50, 0.88, [1.5, 3.0, 1.0]), files(60, 0.9, [1.0, 2.0, 1.0])]
    record = {"networks": {str(place): {"onnxruntime": one, "litert": one} for place, one in enumerate(networks)}}
    _, _, *rows = table(record).splitlines()
    assert len(rows) == 2 * len(OTHERS)
    for row in rows:
        assert row.endswith("| 30 [25, 50] | 0.00 [-1.00, 2.00] | 1.00 [0.50, 1.50] | 1 |")

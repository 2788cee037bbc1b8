"""Latencies as values: their source, and how they are read from where they were kept."""

import dataclasses
import json

import pytest

from evaluators.latency import Latency, Source

MEASURED = Latency(1.0, 0.9, 1.1, 1.2, 500, 0.4, 0.1, 0.1, 0.0, ("other processes had the core",))
PREDICTED = Latency.predicted(1.0, (0.8, 1.2), flags=("predicted from 30 rows, not timed",))
SCREENED = Latency.predicted(1.0, (0.8, 1.2), Source.SCREENED)
TABULATED = Latency.exact(1.0)
BEFORE_SOURCES = [  # as they were stored before a latency named its source
    (MEASURED, MEASURED.flags), (PREDICTED, PREDICTED.flags),
    (SCREENED, ("not timed: predicted to be over its budget",)), (TABULATED, ())]


@pytest.mark.parametrize("latency", [MEASURED, PREDICTED, SCREENED, TABULATED])
def test_a_latency_is_read_from_json_as_it_was_written(latency):
    assert Latency.stored(json.loads(json.dumps(dataclasses.asdict(latency)))) == latency


@pytest.mark.parametrize(("latency", "flags"), BEFORE_SOURCES)
def test_a_latency_that_was_stored_without_its_source_is_understood(latency, flags):
    values = {name: value for name, value in dataclasses.asdict(latency).items() if name != "source"}
    assert Latency.stored(values | {"flags": list(flags)}) == latency


def test_what_was_predicted_is_told_from_what_is_known():
    assert PREDICTED.is_predicted
    assert SCREENED.is_predicted
    assert not MEASURED.is_predicted
    assert not TABULATED.is_predicted

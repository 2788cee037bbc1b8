import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.problem.quantities import (
    QUANTITIES,
    format_bytes,
    format_count,
    format_duration,
    format_latency_ms,
    parse_duration_s,
    parse_quantity,
)
from search_spaces.errors import InvalidInput


@pytest.mark.parametrize(("name", "text", "value"), [
    ("latency", "0.1ms", 0.1), ("latency", "80us", 0.08), ("latency", "80µs", 0.08), ("latency", "80μs", 0.08),
    ("latency", "0.00008s", 0.08), ("latency", "8e-5s", 0.08), ("latency", " 0.3 ms ", 0.3), ("latency", "300us", 0.3),
    ("latency", "700us", 0.7), ("latency", "2s", 2000.0), ("latency", ".5ms", 0.5),
    ("macs", "20M", 20_000_000), ("macs", "1.5G", 1_500_000_000), ("macs", "300k", 300_000), ("macs", "12345", 12345),
    ("macs", "1e6", 10**6), ("macs", "1.1M", 1_100_000), ("params", "500k", 500_000), ("params", "1M", 10**6),
    ("memory", "1MB", 10**6), ("memory", "512KiB", 524288), ("memory", "64kB", 64000), ("memory", "100B", 100),
    ("size", "1MiB", 2**20), ("size", "1.5GiB", 3 * 2**29), ("size", "2GB", 2 * 10**9), ("size", "1.1KiB", 1126),
])
def test_a_quantity_is_read_exactly(name, text, value):
    found = parse_quantity(name, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("text", "duration_s", "written"), [
    ("30m", 1800, "30 min"), ("30min", 1800, "30 min"), ("90s", 90, "1.5 min"), ("0.5 h", 1800, "30 min"),
    ("36h", 129600, "36 h"), ("1.5s", 1.5, "1.5 s"),
])
def test_a_duration_is_read_and_written(text, duration_s, written):
    assert parse_duration_s(text) == duration_s
    assert format_duration(duration_s) == written


@pytest.mark.parametrize(("text", "reason"), [
    ("30", "time needs a unit: 30m, 1.5h or 90s, but got '30'"), ("1d", "unknown unit of time 'd'"),
    ("-1m", "time must be positive and finite, but got -1m"), ("soon", "time is written like 30m"),
])
def test_what_is_no_duration_is_refused(text, reason):
    with pytest.raises(InvalidInput, match=reason):
        parse_duration_s(text)


@pytest.mark.parametrize(("name", "text", "reason"), [
    ("latency", "0.1", "latency needs a unit: 0.1ms, 80us or 0.0001s, but got '0.1'"),
    ("memory", "1000", "memory needs a unit: 512KiB, 64kB or 1MB, but got '1000'"),
    ("size", "1000", "size needs a unit: 512KiB, 64kB or 1MB, but got '1000'"),
    ("latency", "0ms", "latency must be positive and finite, but got 0ms"),
    ("latency", "-1ms", "latency must be positive and finite, but got -1ms"),
    ("latency", "1e-99mss", "unknown unit of latency 'mss'"),
    ("macs", "-5M", "macs must be positive and finite, but got -5M"),
    ("macs", "0.0001k", "macs must be positive and finite, but got 0.0001k"),
    ("macs", "1.5", "macs without a unit is a whole number, but got '1.5'"),
    ("latency", "nan", "latency is written like"),
    ("latency", "infms", "latency is written like"),
    ("latency", "", "latency is written like"),
    ("latency", "0,1ms", "latency is written like"),
    ("macs", "1_000", "macs is written like"),
    ("macs", "1e999M", "macs is written like"),
    ("macs", "20m", "unknown unit of macs 'm'"),
    ("memory", "1mb", "unknown unit of memory 'mb'"),
    ("memory", "64KB", "known: B, GB, GiB, KiB, MB, MiB, kB"),
    ("latency", "1min", "unknown unit of latency 'min'"),
])
def test_a_wrong_quantity_is_refused_with_the_reason(name, text, reason):
    with pytest.raises(InvalidInput) as error:
        parse_quantity(name, text)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@given(st.integers(1, 10**9))
def test_units_of_the_same_latency_agree(nanoseconds):
    by_unit = {unit: f"{Decimal(nanoseconds) / scale:f}{unit}"
               for unit, scale in (("us", 10**3), ("ms", 10**6), ("s", 10**9))}
    assert {parse_quantity("latency", text) for text in by_unit.values()} == {nanoseconds / 10**6}


@given(st.sampled_from(sorted(QUANTITIES)), st.integers(1, 10**15 - 1), st.integers(-9, 3))
def test_writing_and_reading_a_quantity_restores_it(name, digits, exponent):
    quantity = QUANTITIES[name]
    value = digits if quantity.scale.whole else float(f"{digits}e{exponent}")
    assert parse_quantity(name, quantity.scale.format(value, 15)) == value


@given(st.sampled_from(sorted(QUANTITIES)), st.integers(1, 10**15))
def test_a_written_quantity_is_off_by_half_a_percent_at_most_and_short(name, value):
    quantity = QUANTITIES[name]
    text = quantity.scale.format(value)
    assert math.isclose(parse_quantity(name, text), value, rel_tol=0.005)
    if quantity.scale.whole and value < 999 * 10**9:
        assert len(text.rstrip(" BkMG")) <= 4
    assert quantity.scale.format(parse_quantity(name, text)) == text


@pytest.mark.parametrize(("text", "expected"), [
    (format_latency_ms(0.09), "0.09 ms"), (format_latency_ms(0.0912345), "0.0912 ms"), (format_latency_ms(12), "12 ms"),
    (format_latency_ms(1234.5), "1230 ms"), (format_latency_ms(0.09125, 15), "0.09125 ms"),
    (format_latency_ms(2e-7), "0.0000002 ms"),
    (format_count(3858016), "3.86M"), (format_count(1500), "1.5k"), (format_count(999), "999"), (format_count(0), "0"),
    (format_count(999_500), "1M"), (format_count(999_499), "999k"), (format_count(20_000_000), "20M"),
    (format_bytes(163072), "163 kB"), (format_bytes(100), "100 B"), (format_bytes(1_000_000), "1 MB"),
])
def test_quantities_are_written_in_one_canonical_form(text, expected):
    assert text == expected

"""The protocol is checked on simulated machines, whose time is a number and whose true latencies are known."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from evaluators.latency import Precision, half_width, quiet_value
from evaluators.timing import protocol
from evaluators.timing.protocol import MINIMUM_ROUNDS, PATIENCE, Bench, Rounds, estimate

REFERENCE_MS, MODEL_MS = 0.03, 0.1
SLICE_NS = 3_000_000


@dataclass
class Machine:
    """A machine with quiet and slow spells of random length, on which a share of the time may be somebody else's."""

    generator: np.random.Generator
    slowdown: float = 1.8
    quiet_ms: float = np.inf
    slow_ms: float = 15.0
    stolen: float = 0.0
    noise: float = 0.02  # of a run, relative to itself
    layout: float = 1.0  # of this process, against the mean of all processes
    now_ns: int = 0
    core_ns: int = 0
    slow: bool = False
    change_ns: float = field(init=False)

    def __post_init__(self) -> None:
        self.change_ns = self._spell()

    def run(self, milliseconds: float):
        return lambda: self._work(milliseconds * 1e6 * self.layout * (1 + self.noise * self.generator.gamma(1.0)))

    def _work(self, left: float) -> None:
        while left > 0:
            factor = self.slowdown if self.slow else 1.0
            step = max(1, round(min(left * factor, self.change_ns - self.now_ns, SLICE_NS - self.core_ns % SLICE_NS)))
            self.now_ns += step
            self.core_ns += step
            left -= step / factor
            if self.now_ns >= self.change_ns:
                self.slow = not self.slow
                self.change_ns = self.now_ns + self._spell()
            if self.core_ns % SLICE_NS == 0:  # the scheduler gives the core to somebody else
                self.now_ns += round(SLICE_NS * self.stolen / (1 - self.stolen))

    def _spell(self) -> float:
        mean = self.slow_ms if self.slow else self.quiet_ms
        return mean * 1e6 * self.generator.exponential() if np.isfinite(mean) else np.inf

    def bench(self, quiet_ms: float | None = None, elsewhere: float = 0.0) -> Bench:
        """Returns a bench; `elsewhere` is how many other cores other processes keep busy."""
        return Bench(self.run(REFERENCE_MS), quiet_ms, lambda: self.core_ns, lambda: self.now_ns,
                     lambda: self.core_ns + round(elsewhere * self.now_ns))


def machine(seed, **settings):
    return Machine(np.random.default_rng(seed), **settings)


def test_on_a_quiet_machine_the_true_time_lies_in_a_narrow_interval():
    simulated = machine(0)
    latency = simulated.bench().measure(simulated.run(MODEL_MS))
    assert latency.median_ms == pytest.approx(MODEL_MS, rel=0.02)
    assert latency.low_ms < latency.median_ms < latency.high_ms < 1.03 * latency.median_ms
    assert latency.p95_ms == pytest.approx(MODEL_MS * (1 + 0.02 * 3), rel=0.01)
    assert latency.reference_ms == pytest.approx(REFERENCE_MS, rel=0.03)
    assert latency.load < 0.05
    assert latency.flags == ()


def test_what_surely_exceeds_its_limit_is_timed_no_longer():
    simulated = machine(0)
    bench = simulated.bench()
    over, within = (bench.measure(simulated.run(MODEL_MS), Precision(limit_ms=share * MODEL_MS))
                    for share in (0.8, 1.2))
    assert over.duration_s < 0.5 * Precision.at_least_s <= within.duration_s
    assert over.low_ms > 0.8 * MODEL_MS
    assert over.low_ms < over.median_ms == pytest.approx(MODEL_MS, rel=0.03)
    assert over.flags == within.flags == ()


@pytest.mark.parametrize(("quiet_ms", "slow_ms"), [(15, 15), (15, 45), (5, 5), (2000, 2000)])
def test_slow_spells_do_not_change_the_result(quiet_ms, slow_ms):
    for seed in range(5):
        simulated = machine(seed, quiet_ms=quiet_ms, slow_ms=slow_ms)
        latency = simulated.bench().measure(simulated.run(MODEL_MS))
        assert latency.median_ms == pytest.approx(MODEL_MS, rel=0.03)
        assert latency.flags == ()


def test_the_interval_holds_what_another_process_measures_on_a_loaded_machine():
    def measured(seed):
        layout = 1 + 0.005 * np.random.default_rng(seed).standard_normal()
        simulated = machine(seed, quiet_ms=20, slow_ms=20, layout=layout)
        return simulated.bench().measure(simulated.run(MODEL_MS))

    latencies = [measured(seed) for seed in range(30)]
    held = [one.low_ms <= other.median_ms <= one.high_ms
            for one in latencies for other in latencies if one is not other]
    assert np.mean(held) >= 0.83
    assert np.median([latency.high_ms / latency.median_ms - 1 for latency in latencies]) <= 0.03


def test_a_process_that_shares_its_core_times_only_what_ran_undisturbed():
    simulated = machine(0, stolen=0.5)
    latency = simulated.bench().measure(simulated.run(MODEL_MS))
    assert latency.median_ms == pytest.approx(MODEL_MS, rel=0.02)
    assert latency.p95_ms < 1.1 * MODEL_MS
    assert latency.median_ms / latency.low_ms > latency.high_ms / latency.median_ms + 0.01
    assert "other processes had the core for 5" in latency.flags[0]


def test_processes_that_keep_other_cores_busy_are_told():
    simulated = machine(0)
    assert simulated.bench(elsewhere=0.1).measure(simulated.run(MODEL_MS)).flags == ()
    (flag,) = simulated.bench(elsewhere=1.0).measure(simulated.run(MODEL_MS)).flags
    assert "other processes kept 1.0 cores busy" in flag


def test_a_long_model_that_never_keeps_its_core_is_flagged_and_its_interval_reaches_down_to_the_truth():
    simulated = machine(0, stolen=0.8)
    latency = simulated.bench().measure(simulated.run(40.0))
    assert latency.median_ms > 100
    assert latency.low_ms <= 41
    assert "not quiet" in latency.flags[0]


def test_a_slow_spell_without_end_is_known_from_earlier_measurements():
    simulated = machine(0)
    bench = simulated.bench()
    assert bench.measure(simulated.run(MODEL_MS)).flags == ()
    simulated.slow = True
    latency = bench.measure(simulated.run(MODEL_MS))
    assert latency.median_ms == pytest.approx(1.8 * MODEL_MS, rel=0.03)  # raw, as it was
    assert latency.low_ms <= MODEL_MS * 1.02
    assert latency.load > 0.9
    assert "1.8" in latency.flags[0]
    assert latency.duration_s >= Precision().at_most_s


def test_quiet_is_not_waited_for_where_several_measurements_have_seen_none():
    simulated = machine(0)
    bench = simulated.bench()
    bench.measure(simulated.run(MODEL_MS))
    simulated.slow = True
    *patient, short, shorter = [bench.measure(simulated.run(MODEL_MS)) for _ in range(PATIENCE + 2)]
    assert all(one.duration_s >= Precision().at_most_s for one in patient)
    for one in (short, shorter):
        assert Precision().at_least_s <= one.duration_s < 2 * Precision().at_least_s
        assert one.median_ms == pytest.approx(1.8 * MODEL_MS, rel=0.03)
        assert one.low_ms <= MODEL_MS * 1.02 and "not quiet" in one.flags[0]
    simulated.slow = False
    unsteady = bench.measure(lambda: simulated.run(MODEL_MS * (1 + 0.2 * simulated.generator.gamma(1.0)))(),
                             Precision(at_least_s=0.01))
    assert unsteady.load < 0.1 and unsteady.duration_s > 10 * 0.01, "where it is quiet again, precision is waited for"
    simulated.slow = True
    assert bench.measure(simulated.run(MODEL_MS)).duration_s >= Precision().at_most_s


def test_a_slow_spell_without_end_is_known_from_what_another_process_has_found():
    simulated = machine(0, slow=True, slow_ms=np.inf)
    assert simulated.bench().measure(simulated.run(MODEL_MS)).flags == ()
    assert "not quiet" in simulated.bench(1.01 * REFERENCE_MS).measure(simulated.run(MODEL_MS)).flags[0]


def test_what_another_process_has_found_does_not_count_against_a_slightly_slower_layout():
    simulated = machine(0, layout=1.04)
    latency = simulated.bench(REFERENCE_MS).measure(simulated.run(MODEL_MS))
    assert latency.flags == ()
    assert latency.load < 0.05


def test_a_machine_that_becomes_slower_for_good_is_quiet_again_after_a_while():
    simulated = machine(0)
    bench = simulated.bench()
    simulated.slow, simulated.slowdown = True, 1.3
    short = Precision(at_most_s=0.4)
    latencies = [bench.measure(simulated.run(MODEL_MS), short) for _ in range(32)]
    assert latencies[0].flags
    assert latencies[-1].flags == ()
    assert latencies[-1].median_ms == pytest.approx(1.3 * MODEL_MS, rel=0.03)


def test_a_measurement_takes_as_long_as_its_precision_asks():
    simulated = machine(0)
    bench = simulated.bench()
    simulated.noise = 0.08
    rough = bench.measure(simulated.run(MODEL_MS), Precision(half_width=0.1, at_least_s=0.01))
    exact = bench.measure(simulated.run(MODEL_MS), Precision(half_width=0.03, at_least_s=0.01))
    assert rough.flags == exact.flags == ()
    assert 0.01 <= rough.duration_s < exact.duration_s


def test_a_precision_that_the_machine_does_not_allow_ends_in_time_and_is_flagged():
    simulated = machine(0, quiet_ms=5, slow_ms=50)
    latency = simulated.bench().measure(simulated.run(10.0), Precision(at_most_s=1.0))
    assert 1.0 <= latency.duration_s < 1.5
    assert "precision not reached" in latency.flags[-1]


def test_a_precision_that_no_process_reaches_ends_when_more_rounds_no_longer_help():
    simulated = machine(0)
    latency = simulated.bench().measure(simulated.run(MODEL_MS), Precision(half_width=0.001, at_most_s=100.0))
    assert latency.duration_s < 10
    assert latency.high_ms < 1.021 * latency.median_ms
    assert "precision not reached" in latency.flags[0]


def test_on_a_loaded_machine_too_a_measurement_ends_when_more_rounds_no_longer_help():
    simulated = machine(0, quiet_ms=15, slow_ms=30)
    latency = simulated.bench().measure(simulated.run(MODEL_MS), Precision(half_width=0.001, at_most_s=100.0))
    assert latency.load > 0.4
    assert latency.duration_s < 10
    assert 1.02 * latency.median_ms < latency.high_ms < 1.03 * latency.median_ms


@pytest.mark.parametrize("model_ms", [0.002, 0.5, 30.0, 900.0])
def test_models_of_any_size_are_timed(model_ms):
    simulated = machine(0)
    latency = simulated.bench().measure(simulated.run(model_ms))
    assert latency.median_ms == pytest.approx(model_ms, rel=0.03)
    assert latency.flags == ()


def _rounds(values, references, lost=None):
    rounds = Rounds()
    for index, (value, reference) in enumerate(zip(values, references, strict=True)):
        rounds.append([value], reference, 1.0 if lost is None else lost[index])
    return rounds


def test_rounds_count_only_if_the_reference_was_quiet_and_the_core_was_kept():
    values = [1.0] * 60 + [2.0] * 60 + [3.0] * 60
    references = [1.0] * 60 + [1.5] * 60 + [1.0] * 60
    lost = [1.0] * 120 + [1.5] * 60
    found = estimate(_rounds(values, references, lost), 1.0, drift=0.01)
    assert found.rounds.tolist() == list(range(60))
    assert found.median_ms == 1.0
    assert found.slowdown == 1.0
    assert found.load == pytest.approx(2 / 3)


@pytest.mark.parametrize("clock", [1.0, 1.01, 1.03, 1.045])
def test_the_processors_clock_is_taken_out_of_the_median_and_kept_beside_it(clock):
    found = estimate(_rounds([0.5 * clock] * 60, [clock] * 60), 1.0, drift=0.01)
    assert found.median_ms * found.clock == pytest.approx(0.5 * clock)
    assert 0.5 <= found.median_ms <= 0.5 * protocol.STEADY


def test_raw_milliseconds_are_those_that_passed():
    simulated = machine(0)
    bench = simulated.bench()
    bench.measure(simulated.run(MODEL_MS))
    simulated.layout = 1.04  # what a slower clock does to model and reference alike
    latency = bench.measure(simulated.run(MODEL_MS))
    assert latency.raw_ms == pytest.approx(1.04 * MODEL_MS, rel=0.02)
    assert latency.median_ms == pytest.approx(1.02 * MODEL_MS, rel=0.015)
    assert latency.raw_high_ms / latency.raw_ms == pytest.approx(latency.high_ms / latency.median_ms)
    assert latency.flags == ()


def test_where_no_round_is_quiet_the_quietest_count_and_the_interval_takes_the_slowdown_out():
    values, references = np.linspace(1.5, 3.0, 100), np.linspace(1.5, 3.0, 100)
    found = estimate(_rounds(values, references), 1.0, drift=0.0)
    assert found.rounds.tolist() == list(range(MINIMUM_ROUNDS))
    assert found.low_ms <= 1.0 <= found.median_ms
    assert found.slowdown == pytest.approx(np.median(references[:MINIMUM_ROUNDS]))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_interval_of_a_single_measurement_holds_the_truth_though_neighbouring_rounds_are_alike(correlation):
    generator, held = np.random.default_rng(0), []
    truth = -0.6745 * 0.02 + 1  # the lower quartile of what follows
    for _ in range(150):
        noise = generator.standard_normal(400)
        for index in range(1, 400):
            noise[index] = correlation * noise[index - 1] + np.sqrt(1 - correlation**2) * noise[index]
        values = 1 + 0.02 * noise
        half = half_width(values, drift=0.0)
        held.append(abs(quiet_value(values) - truth) <= half)
    assert 0.88 <= np.mean(held) <= 1.0


def test_drift_between_measurements_widens_the_interval():
    values = 1 + 0.001 * np.random.default_rng(0).standard_normal(200)
    assert half_width(values, 0.0) < 0.001
    assert half_width(values, 0.01) == pytest.approx(1.96 * 0.01, rel=0.02)


def test_one_round_says_nothing_about_its_spread():
    assert half_width(np.ones(1), 0.0) == np.inf

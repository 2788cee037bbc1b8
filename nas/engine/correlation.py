"""The worth of a score: how far it ranks networks as their training to the end does.

Networks within the budgets are trained to the end, and scored by brief trainings of several lengths, each with several
seeds. A rank correlation with the end says how far a search may trust a score; multiply-adds and parameters, which cost
nothing, are to be beaten. The end is the log loss of the validation images, by which finals choose, or the accuracy
where a log loss is not known. Intervals are bootstrap percentiles over the networks.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators.benchmarks.tables import is_table
from evaluators.evaluator import Context, Evaluator
from evaluators.machine.devices import require_devices
from evaluators.recipe import FINAL_EPOCHS
from nas.engine.pool import TRAINING, evaluators, training_processes
from nas.engine.scores import Sample, ScoreRecord, noise_among, resamples
from nas.engine.setting import Setting, setting_of
from nas.measuring.meters import CAREFUL, ROUGH, Gauges, costs_within, file_gauges
from nas.measuring.survey import Progress, members
from nas.problem.budgets import Budgets, is_feasible
from nas.run.config import SearchConfig
from nas.run.monitor import Monitor, Silent
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.numbers import count_of
from search_spaces.search_space import SearchSpace

CORRELATION = "correlation.json"  # of a run
MEMBERS, SEEDS = 20, 2
FEWEST = 8  # networks, for a rank correlation that says anything
ATTEMPTS = 20  # random members for each that is wanted
USEFUL, WEAK = 0.6, 0.3  # of Kendall's tau
BEST = 10  # one in so many counts among the best
WITHIN = "members within"  # the name of those in a record
LOG_LOSS = "log loss"
FREE = MULTIPLY_ADDS, PARAMETERS = "multiply-adds", "parameters"  # scores that follow from the text

Interval = tuple[float, float]


@dataclass(frozen=True)
class Ranking:
    """The agreement of a score with the end of a training.

    Attributes:
        score: its name.
        networks: how many were ranked.
        tau: Kendall's rank correlation tau-b, with its 95 % interval.
        rho: Spearman's, likewise.
        overlap: the share of the best tenth by the score that is of the best tenth at the end, likewise.
        seconds: the median cost of the score for a network; 0 for what follows from its text.
        noise: the standard deviation of the score between seeds, as a share of the images; None where no two are known.
        by_log_loss: whether the end is the log loss, or else the accuracy.
        steps_per_epoch: of the trainings, 0 where it is not known.
    """

    score: str
    networks: int
    tau: float
    tau_ci: Interval
    rho: float
    rho_ci: Interval
    overlap: float
    overlap_ci: Interval
    seconds: float
    noise: float | None = None
    by_log_loss: bool = False
    steps_per_epoch: int = 0

    @property
    def use(self) -> str:
        """The use of the score in words: use, little or none."""
        if self.tau < WEAK or self.tau_ci[0] <= 0:
            return "of no use"
        return "of use" if self.tau >= USEFUL else "of little use"


def correlate(config: SearchConfig, budgets: Budgets, record: Path, epochs: Sequence[int], *, to: int = FINAL_EPOCHS,
              count: int = MEMBERS, seeds: int = SEEDS, setting: Setting | None = None,
              monitor: Monitor | None = None) -> list[Ranking]:
    """Returns the rank correlations of scores with the end, over random members of a space within budgets.

    A record keeps the members too, since another timing would find others near a limit; more of them are found anew.

    Args:
        config: the space, data, targets, evaluator and recipe.
        budgets: what members must meet.
        record: the file that scores are recorded in, and are taken from.
        epochs: the lengths of the brief trainings.
        to: the length of the training to the end, which the evaluator `training` always makes.
        count: members.
        seeds: trainings of each length.
        setting: the space and data, if they are not as the configuration has them.
        monitor: what to report to.

    Raises:
        InvalidInput: wrong input, too few members within the budgets, or none better than another.
    """
    monitor = monitor or Silent()
    require(len(epochs) > 0 and min(epochs) >= 1 and max(epochs) < to, "brief trainings have at least one epoch and "
            f"fewer than the training to the end (`--to`), but got {','.join(map(str, epochs))} of {to}")
    require(seeds >= 1, f"`seeds` must be at least 1, but got {seeds}")
    require(count >= FEWEST, f"a rank correlation takes at least {FEWEST} networks, but got {count}")
    require(not is_table(config.data), f"scores are compared with trainings, but the data are '{config.data}'")
    require_devices()
    setting = setting or setting_of(config)
    space, dataset = setting.space, setting.dataset
    lengths = [*sorted(set(epochs)), to]
    context = Context(space, dataset, record.parent / "evaluator", config.recipe)
    workers = config.workers or (training_processes() if config.evaluator == TRAINING else 1)
    scores = ScoreRecord(record, dataset, config.recipe, config.evaluator)
    with file_gauges(budgets.measured) as gauges:
        def find() -> list[str]:
            found = within(space, budgets, gauges, config.seed, count, monitor.progress)
            return [network.text for network in found]

        texts = scores.members(WITHIN, space.text, budgets, count, find)
    networks = [Architecture.parse(text) for text in texts]
    foreign = [network.text for network in networks if space.encode(network) is None]
    require(not foreign, f"recorded members are of the space, but '{record}' has {', '.join(foreign)}")
    with contextlib.ExitStack() as stack:
        def of_name(name: str) -> list[Evaluator]:
            return stack.enter_context(evaluators(name, context, workers, target=config.targets[0],
                                                  precision=config.precision))

        final = of_name(TRAINING)
        brief = final if config.evaluator == TRAINING else of_name(config.evaluator)
        sample = scores.sample(list(zip(brief, final, strict=True)), networks, lengths, seeds, monitor.progress)
    ends = sample.accuracies(to).mean(axis=1)
    require(np.ptp(ends) > 0, f"networks are ranked that end with different accuracies, but all {len(ends)} have "
            f"{ends[0]:.2%} after {to} epochs")
    steps = len(dataset.train) // min(len(dataset.train), config.recipe.batch)  # what is left of an epoch is none
    return [dataclasses.replace(one, steps_per_epoch=steps) for one in rankings(sample, lengths)]


def within(space: SearchSpace, budgets: Budgets, gauges: Gauges, seed: int, count: int, progress: Progress
           ) -> list[Architecture]:
    """Returns random members of a space that meet the budgets, as many as are found of `count`.

    Raises:
        InvalidInput: too few of them do for a rank correlation.
    """
    found: list[Architecture] = []
    for assignment in members(space, ATTEMPTS * count, seed):
        if len(found) == count:
            break
        progress("looking for members within the budgets", len(found), count)
        network = space.decode(assignment)
        if is_feasible(budgets.violations(costs_within(network, budgets, gauges, budgets.timed, (ROUGH, CAREFUL)))):
            found.append(network)
    require(len(found) >= FEWEST, f"a rank correlation takes at least {FEWEST} networks, but {len(found)} random "
            f"members of the space are within {budgets}; a larger budget has more")
    return found


def rankings(sample: Sample, epochs: Sequence[int]) -> list[Ranking]:
    """Returns the agreement of each score with the end, the mean over its seeds, cheapest first.

    Correlations are 0 where all networks have the score alike, or end alike.
    """
    losses = sample.log_losses(epochs[-1])
    final = (sample.accuracies(epochs[-1]) if losses is None else -losses).mean(axis=1)
    networks = [Architecture.parse(text) for text in sample.scores]
    found = [_ranking(MULTIPLY_ADDS, np.array([network.macs for network in networks]), final),
             _ranking(PARAMETERS, np.array([network.params for network in networks]), final)]
    for length in epochs[:-1]:
        accuracies, brief, name = sample.accuracies(length), sample.log_losses(length), count_of(length, "epoch")
        noise, seconds = noise_among(accuracies), sample.seconds(length)
        found.append(_ranking(name, accuracies[:, 0], final, seconds, noise.deviation if noise else None))
        if brief is not None:
            found.append(_ranking(f"{name}, {LOG_LOSS}", -brief[:, 0], final, sample.seconds(length)))
    return [dataclasses.replace(one, by_log_loss=losses is not None) for one in found]


def recommendation(rankings: Sequence[Ranking]) -> str:
    """Returns the score to take: the cheapest useful training that beats scores without cost, else the best one.

    Scores are log losses, which the default strategy learns, or accuracies where these are not known.
    """
    free = max(ranking.tau for ranking in rankings if ranking.score in FREE)
    trained = [ranking for ranking in rankings if ranking.score not in FREE]
    trained = [ranking for ranking in trained if ranking.score.endswith(LOG_LOSS)] or trained
    good = [ranking for ranking in trained if ranking.tau >= USEFUL and ranking.tau > free and ranking.tau_ci[0] > 0]
    if good:
        best = min(good, key=lambda ranking: ranking.seconds)
        return (f"{best.score}: networks are ranked as the whole training ranks them (tau {best.tau:.2f}): "
                f"--epochs {best.score.split()[0].replace(',', '')}")
    best = max((ranking for ranking in rankings if ranking.score not in FREE), key=lambda ranking: ranking.tau)
    if free >= best.tau:
        return (f"no brief training ranks better than what costs nothing: multiply-adds or parameters have tau "
                f"{free:.2f}, {best.score} {best.tau:.2f}; longer trainings (--epochs) may, or more finalists in an "
                "export (--finals) make up for it")
    best = max(trained, key=lambda ranking: ranking.tau)
    return (f"no score ranks well enough: the best is {best.score} (tau {best.tau:.2f}), multiply-adds and parameters "
            f"have {free:.2f}; longer trainings (--epochs), or more finalists in an export (--finals), make up for it")


def _ranking(name: str, scores: np.ndarray, final: np.ndarray, seconds: float = 0.0, noise: float | None = None
             ) -> Ranking:
    everyone, drawn = np.arange(len(final))[None], resamples(len(final))
    values, intervals = [], []
    for measure in (kendall, spearman, overlap):
        whole, parts = (np.nan_to_num(measure(scores, final, of)) for of in (everyone, drawn))  # equal values rank none
        values.append(float(whole[0]))
        low, high = np.percentile(parts, (2.5, 97.5))
        intervals.append((float(low), float(high)))
    (tau, rho, shared), (tau_ci, rho_ci, shared_ci) = values, intervals
    return Ranking(name, len(final), tau, tau_ci, rho, rho_ci, shared, shared_ci, seconds, noise)


def kendall(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns Kendall's tau-b `[R]` of values `[N]` in samples `[R, N]` of their indices; NaN where all are equal."""
    signs_x, signs_y = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    pairs = [(chosen[:, None], chosen) for chosen in drawn]
    with np.errstate(invalid="ignore"):
        return np.array([np.sum(signs_x[pair] * signs_y[pair])
                         / np.sqrt(np.sum(signs_x[pair]**2) * np.sum(signs_y[pair]**2)) for pair in pairs])


def spearman(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns Spearman's rho `[R]`; arguments as for `kendall`."""
    from scipy.stats import rankdata

    ranks_x, ranks_y = (rankdata(values[drawn], axis=1) - (drawn.shape[1] + 1) / 2 for values in (x, y))
    with np.errstate(invalid="ignore"):
        return np.sum(ranks_x * ranks_y, 1) / np.sqrt(np.sum(ranks_x**2, 1) * np.sum(ranks_y**2, 1))


def overlap(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns the share `[R]` of the best tenth by one value that is of the best tenth by the other; as `kendall`."""
    count = max(1, drawn.shape[1] // BEST)
    best_x, best_y = (np.argsort(-values[drawn], axis=1, kind="stable")[:, :count] for values in (x, y))
    return (best_x[:, :, None] == best_y[:, None]).any(axis=2).mean(axis=1)

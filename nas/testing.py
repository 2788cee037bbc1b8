"""One contract check for each kind of plug-in: an evaluator, a strategy, a runtime.

Each takes a plug-in and raises `AssertionError` with the rule that it breaks. They are written for the tests of whoever
adds one:

    def test_my_evaluator():
        check_evaluator(my_evaluator)
"""

import copy
import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evaluators.datasets import Dataset, Parts, Split
from evaluators.datasets.dataset import complete
from evaluators.evaluator import Evaluator, Fidelity, Score
from evaluators.networks.weights import Weights
from evaluators.recipe import Recipe
from evaluators.runtimes import Options, Runtime, Session
from nas.problem.candidate import Candidate
from nas.strategies import Maker, Problem, Strategy, sampler_of
from nas.strategies.loading import maker_of
from nas.strategies.reseeding import Reseeded
from nas.trials.record import LOST
from search_spaces.architecture import Architecture
from search_spaces.search_space import Assignment
from search_spaces.space import Space

if TYPE_CHECKING:
    import optuna

ARCHITECTURES = tuple(map(Architecture.parse, (
    "in_r12_c1+conv_k3_c8_s2_relu+mb_k5_e3_c8_s1_se0.25_hswish+head_c16_relu_n2",
    "in_r12_c1+conv_k3_c24_s1_swish+sep_k3_c24_s2_relu6_rank0.25+head_c32_relu_n2_d32_rank0.25",
)))
SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5_e3/6_c8_s1_se0_relu/hswish_x1+head_c16_relu_n2")
LARGEST_DIFFERENCE = 1e-4  # of logits, from those of the Flax module
MEAN, STD = 0.5, 0.29  # by which pixels are normalised, about those of noise


def check_evaluator(evaluate: Evaluator, data: Dataset | None = None, deterministic: bool = True) -> None:
    """Checks an evaluator on two small architectures.

    Args:
        evaluate: takes an architecture, data and a fidelity; returns a score.
        data: 12x12 grey images of two classes; by default a few random ones.
        deterministic: whether it promises equal scores for equal arguments.
    """
    data = data or two_classes()
    fidelity = Fidelity(Recipe(epochs=1, batch=8))
    before = data.train.images.copy(), data.validation.images.copy()
    for architecture in ARCHITECTURES:
        score = _checked_score(evaluate(architecture, data, fidelity), architecture)
        if deterministic:
            again = _checked_score(evaluate(architecture, data, fidelity), architecture)
            _require(_equal(score, again), "equal arguments must give equal scores", score.accuracy, again.accuracy)
            other = dataclasses.replace(data, test=Split(255 - data.test.images, data.test.labels[::-1].copy()))
            unseen = _checked_score(evaluate(architecture, other, fidelity), architecture)
            _require(_equal(score, unseen), "a score must not depend on the test images", score.accuracy,
                     unseen.accuracy)
            _check_continuation(evaluate, architecture, data)
    after = data.train.images, data.validation.images
    _require(all(map(np.array_equal, before, after)), "an evaluator must leave the images as they are")


def _check_continuation(evaluate: Evaluator, architecture: Architecture, data: Dataset) -> None:
    """Checks a continued training: its checkpoint spares epochs and changes nothing, as early stopping expects."""
    recipe = Recipe(epochs=2, batch=8)
    first, whole = (_checked_score(evaluate(architecture, data, Fidelity(recipe, epochs)), architecture)
                    for epochs in (1, 2))
    if first.checkpoint:
        later = Fidelity(recipe, checkpoint=first.checkpoint)
        _require(_equal(whole, _checked_score(evaluate(architecture, data, later), architecture)),
                 "a training that goes on from a checkpoint must end as one that was not stopped")


def check_strategy(make: Callable[..., Any], trials: int = 30) -> None:
    """Checks a strategy on a space of 8 members, with more trials than members.

    It must propose members of the space whatever became of the earlier trials, and the same ones from the same seed:
    one by one, while others are running, and if each trial is first lost with its worker. What `propose` returns must
    follow from its arguments alone, whatever the instance has proposed before.

    Args:
        make: what `--strategy` would name: a class or a function that makes a strategy or an Optuna sampler.
        trials: the proposals that are asked for each time.
    """
    maker = maker_of(make, getattr(make, "__name__", "strategy"))
    for name, outcome in OUTCOMES.items():
        for objectives in (("accuracy", "latency"), ("accuracy",)):
            problem = Problem(SPACE, objectives, seed=7)
            proposals = _proposals(functools.partial(_compared, maker), problem, outcome, trials)
            again = _proposals(maker, problem, outcome, trials)
            _require(proposals == again, f"one seed must give the same proposals each time ({name})")
            resumed = _proposals(maker, problem, outcome, trials, interrupted=True)
            _require(proposals == resumed, f"a search that is interrupted in each trial must go on as before ({name})")
            together, again = (_proposals(maker, problem, outcome, trials, workers=4) for _ in range(2))
            _require(together == again, f"one seed must give the same proposals to equal workers ({name})")


@dataclasses.dataclass(frozen=True)
class Compared:
    """A strategy whose proposals are compared with those of the same instance asked again, and of a new one.

    Attributes:
        strategy: the strategy.
        make: makes a new instance.
        continues_stopped: as the strategy has it.
    """

    strategy: Strategy
    make: Callable[[], Strategy]
    continues_stopped: bool = False

    def propose(self, history: Sequence[Candidate], running: Sequence[Candidate], generator: np.random.Generator
                ) -> Assignment:
        """Returns the proposal; raises `AssertionError` if it does not follow from the arguments."""
        again = [(self.strategy, copy.deepcopy(generator))]
        if len(history) % 10 == 5:
            again.append((self.make(), copy.deepcopy(generator)))
        proposal = self.strategy.propose(history, running, generator)
        for strategy, equal_generator in again:
            other = strategy.propose(history, running, equal_generator)
            _require(proposal == other, "a proposal must follow from history, running candidates and generator alone, "
                     "whether the strategy is new or old", proposal, other)
        return proposal


def _compared(maker: Maker, problem: Problem) -> Strategy | Reseeded:
    """Returns a strategy with its proposals compared; an Optuna sampler is as it is."""
    strategy = maker(problem)
    if isinstance(strategy, Reseeded):
        return strategy
    return Compared(strategy, lambda: cast(Strategy, maker(problem)))


def check_runtime(runtime: Runtime) -> None:
    """Checks a runtime on two small architectures, against their Flax modules on batches of different sizes."""
    from evaluators.networks.network import Network, logits_of

    _require(runtime.suffix.startswith("."), "the suffix must begin with a dot", runtime.suffix)
    _require(find_spec(runtime.module) is not None, "the module must be that of an installed library", runtime.module)
    _require(set(runtime.options) <= {each.name for each in dataclasses.fields(Options)},
             "the options must be names of `Options`", *runtime.options)
    _require(bool(runtime.versions()), "versions must name the libraries that run the file", runtime.versions())
    for architecture in ARCHITECTURES:
        arrays = random_arrays(architecture, seed=1)
        pixels = np.random.default_rng(0).integers(0, 256, (3, *architecture.program.input_shape), dtype=np.uint8)
        texts = {"architecture": architecture.text, "mean": json.dumps([MEAN] * pixels.shape[3]),
                 "std": json.dumps([STD] * pixels.shape[3])}
        images = ((pixels / 255 - MEAN) / STD).astype(np.float32)
        expected = np.asarray(logits_of(Network(architecture, arrays=arrays), images))
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / f"model{runtime.suffix}"
            _check_writing(runtime, architecture, arrays, path, texts)
            _check_logits(runtime.load(path, Options()), images, expected)
            runtime.write(architecture, arrays, path, texts, inside=True)
            _check_logits(runtime.load(path, Options()), pixels, expected)


def _check_logits(session: Session, images: np.ndarray, expected: np.ndarray) -> None:
    for batch in (1, len(images)):
        found = session.run(images[:batch])
        _require(found.shape == expected[:batch].shape, "logits must be `[B, classes]`", found.shape)
        difference = float(np.abs(found - expected[:batch]).max())
        _require(difference <= LARGEST_DIFFERENCE, "logits must be those of the Flax module", difference)
        session.prepared(images[:batch].astype(np.float32))()


def _check_writing(runtime: Runtime, architecture: Architecture, arrays: Weights, path: Path, texts: dict[str, str]
                   ) -> None:
    path.write_bytes(b"an older file")
    runtime.write(architecture, arrays, path, texts)
    _require(list(path.parent.iterdir()) == [path], "writing must leave one file", *path.parent.iterdir())
    content = path.read_bytes()
    _require(content != b"an older file", "writing must replace an older file")
    runtime.write(architecture, arrays, path, texts)
    _require(path.read_bytes() == content, "writing the same again must give the same bytes")
    try:
        runtime.write(architecture, {}, path, {})
    except Exception:  # whichever: what it leaves behind matters
        whole = path.read_bytes() == content and list(path.parent.iterdir()) == [path]
        _require(whole, "a failed write must leave the old file whole and nothing beside it")
    else:
        _require(False, "a network without its weights must not be written")


@functools.cache
def two_classes() -> Dataset:
    """Returns 12x12 images of two classes, dark and bright."""
    generator = np.random.default_rng(0)
    labels = np.arange(96, dtype=np.int32) % 2
    images = (generator.integers(0, 128, (96, 12, 12, 1)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    return complete("two classes", Parts(("dark", "bright"), Split(images, labels)), seed=0)


def random_arrays(architecture: Architecture, seed: int) -> Weights:
    """Returns weights and running statistics of a trained kind: no bias or mean is 0, no variance 1."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in architecture.program.arrays.items():
        values = generator.standard_normal(shape)
        if name.endswith("/kernel"):
            values *= (2 / np.prod(shape[:-1])) ** 0.5
        elif name.endswith(("/var", "/scale")):
            values = 0.5 + np.abs(values)
        arrays[name] = values.astype(np.float32)
    return arrays


Outcome = Callable[["optuna.Trial", Mapping[str, object]], list[float] | None]


def _complete(trial: "optuna.Trial", assignment: Mapping[str, object]) -> list[float] | None:
    architecture = SPACE.decode(assignment)  # type: ignore[arg-type]  # the values come from the space
    trial.set_constraint("macs", architecture.macs / 100_000 - 1)
    return [int(architecture.id, 16) % 1000 / 1000, architecture.macs / 1e6]


def _infeasible(trial: "optuna.Trial", assignment: Mapping[str, object]) -> list[float] | None:
    trial.set_constraint("macs", 1.0)
    return [0.0, 0.0]


def _failed(trial: "optuna.Trial", assignment: Mapping[str, object]) -> list[float] | None:
    return None


OUTCOMES: dict[str, Outcome] = {
    "measured trials": _complete, "infeasible trials only": _infeasible, "failed trials only": _failed}


def _proposals(maker: Maker, problem: Problem, outcome: Outcome, trials: int, interrupted: bool = False,
               workers: int = 1) -> list[Assignment]:
    """Returns the proposals of a strategy.

    Args:
        maker: makes the strategy.
        problem: what is searched for.
        outcome: what a trial is told.
        trials: how many proposals.
        interrupted: whether a trial is lost before each, and the study opened anew.
        workers: trials that are running at a time; they end in another order than they began.
    """
    import optuna

    directions = ["maximize", "minimize"][:len(problem.objectives)]

    def opened() -> "optuna.Study":
        return optuna.create_study(storage=storage, study_name="checked", directions=directions,
                                   sampler=sampler_of(strategy, problem), load_if_exists=True)

    strategy = maker(problem)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.InMemoryStorage()
    study, found, running = opened(), [], []
    for _ in range(trials):
        if interrupted:
            lost = study.ask()
            SPACE.suggest(lost)
            lost.set_user_attr(LOST, True)
            study.tell(lost, state=optuna.trial.TrialState.FAIL)
            study = opened()
        trial = study.ask()
        proposal = SPACE.suggest(trial)
        _require(SPACE.decode(proposal) in SPACE, "proposals must be members of the space", proposal)
        found.append(proposal)
        running.append((trial, proposal))
        if len(running) == workers:
            trial, proposal = running.pop(workers // 2)
            values = outcome(trial, proposal)
            study.tell(trial, values and values[:len(directions)],
                       state=None if values else optuna.trial.TrialState.FAIL)
    return found


def _checked_score(result: Score | float, architecture: Architecture) -> Score:
    _require(isinstance(result, Score | float), "an evaluator must return a Score or a float", type(result).__name__)
    score = result if isinstance(result, Score) else Score(result)
    if score.total:
        _require(abs(score.accuracy * score.total - round(score.accuracy * score.total)) < 1e-6,
                 "an accuracy must be a share of `total` images", score.accuracy, score.total)
    if score.arrays:
        expected = architecture.program.arrays
        found = {name: array.shape for name, array in score.arrays.items()}
        _require(found == expected, "arrays must be those of the architecture", *found.items() ^ expected.items())
    return score


def _equal(first: Score, second: Score) -> bool:
    return (first.accuracy, first.total) == (second.accuracy, second.total) and all(
        np.array_equal(array, second.arrays[name]) for name, array in first.arrays.items())


def _require(condition: bool, rule: str, *values: object) -> None:
    if not condition:
        raise AssertionError(f"{rule}, but got {', '.join(map(str, values))}" if values else rule)

"""A trained network made smaller: factored or pruned until it meets its budgets, taught by itself, certified.

In each step the parts are cut away whose loss costs least for what a budget gains. What is gained in time is measured:
of several forms, each cut by another estimate of its time, the one is taken that loses least for the time that it
saves. Between steps the network learns from the unpruned one. Layers of two factors come before any pruning.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.evaluator import Fidelity
from evaluators.latency import NoTurn
from evaluators.machine.devices import require_devices
from evaluators.machine.files import at_home
from evaluators.networks.low_rank import factored, is_factorable, require_share
from evaluators.networks.weights import Weights
from evaluators.recipe import FINAL_EPOCHS, Recipe
from evaluators.runtimes import parse_target
from evaluators.training.pruning.importance import MEASURES, Measure
from evaluators.training.pruning.prune import Price, Prunable, cheapest, smallest
from evaluators.training.teacher import Teacher
from evaluators.training.train import Images, train
from nas.export.certificate import ACCURACY_LOSS_POINTS, WAIT_S, Exported
from nas.export.delivery import Order, deliver, require_deliverable
from nas.export.formats import FLAX
from nas.export.trained import keep_pruned, load_pruned, pruned_beside, require_replaceable, training_id
from nas.export.uncompressed import Uncompressed, own_budgets, uncompressed
from nas.measuring.meters import CAREFUL, CLOSE, Gauges, costs_within, file_gauges
from nas.measuring.remeasuring import slowest
from nas.problem.budgets import Budgets, is_feasible
from nas.problem.costs import Costs
from nas.run.monitor import Monitor, Silent
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, require, unknown

STEPS = 4
TAYLOR = "taylor"
LEAST_CUT = 0.03  # of its price, that a step takes away
TUNING_EPOCHS = 1  # between two steps


def compress(network: str, *, data: str | None = None, skip_broken: bool = False, budgets: Budgets | None = None,
             formats: Sequence[str] = (FLAX,), out: str | Path | None = None, steps: int = STEPS,
             importance: str = TAYLOR, low_rank: float | None = None, accuracy_loss: float = ACCURACY_LOSS_POINTS,
             preprocess_inside: bool = False, trust: bool = False, monitor: Monitor | None = None,
             **settings: Any) -> Exported:
    """Returns a smaller form of a trained network that was trained, written, timed and certified.

    Args:
        network: a run, for its winner; a directory of an export; or a file of a trained network.
        data: name of an embedded data set, or a path; by default those of the run or the certificate.
        skip_broken: whether image files that are broken are left out.
        budgets: what it is to meet, and the targets; by default those of the run or the certificate.
        formats: names of `nas.export.formats.FORMATS` besides those of the targets.
        out: where to; by default `compressed` in the run, or the network's name with `.compressed`.
        steps: trainings between which it becomes smaller; more where these do not suffice.
        importance: which parts are cut first, a name of `evaluators.training.pruning.importance.MEASURES`.
        low_rank: the share of its energy that the kernel of each layer keeps where two of a lower rank take its place,
            see `evaluators.networks.low_rank`; then a network without budgets is compressed too, and one that meets
            them already. By default all layers stay whole.
        accuracy_loss: percentage points that a file may be less accurate than the network.
        preprocess_inside: whether the files of runtimes take bytes and normalise them themselves.
        trust: whether to run the commands of targets of a run or an export that was not made here.
        monitor: what to report to.
        settings: of the final training, by the names of `evaluators.Recipe`; by default it has 20 epochs.

    Raises:
        InvalidInput: wrong input, budgets that the network meets already or that none of its smaller forms meets, or
            layers that all stay as they are at that share; then nothing is exported.
    """
    monitor, recipe = monitor or Silent(), Recipe(**{"epochs": FINAL_EPOCHS, **settings})
    recipe.require_training()
    require(steps >= 1, f"`steps` must be at least 1, but got {steps}")
    if importance not in MEASURES:
        raise unknown("importance", importance, MEASURES)
    budgets = budgets or own_budgets(network)
    budgets = dataclasses.replace(budgets, targets=tuple(parse_target(text).text for text in budgets.targets))
    if low_rank is not None:
        require_share(low_rank)
    require(low_rank is not None or bool(budgets.limits),
            f"a network is compressed until it meets a budget, but got none for '{network}', and no `low_rank`")
    require_deliverable(formats, at_home(out) if out is not None else None, accuracy_loss)
    require_devices()
    source = uncompressed(network, data, recipe, monitor, skip_broken=skip_broken, trust=trust)
    directory = at_home(out) if out is not None else source.directory
    require_deliverable(formats, directory, accuracy_loss, source.files)
    require_replaceable(path := pruned_beside(directory))
    monitor.say(f"{source.name}: compressed for {', '.join(budgets.targets)} ({budgets})")
    with file_gauges(budgets.targets, source.quiet_ms) as gauges:
        pruning = _Pruning(source, budgets, gauges, recipe, MEASURES[importance], steps, monitor)
        pruning.require_needed(low_rank)
        teacher = source.trained()
        trainings = training_id(source.architecture, source.dataset.fingerprint, recipe, teacher.arrays, (teacher,))
        architecture, arrays = pruning.kept(path, f"{trainings} {budgets!r} {importance} {steps} {low_rank}",
                                             teacher, low_rank)
    exported = deliver(Order(
        f"{source.name}, compressed", architecture, source.dataset, budgets.targets, budgets, recipe, formats, arrays,
        (teacher,), {"network": source.name, "uncompressed": source.architecture.text}, source.quiet_ms, accuracy_loss,
        preprocess_inside), directory, monitor)
    path.unlink(missing_ok=True)
    return exported


@dataclass(frozen=True, eq=False)
class _Form:
    """A smaller form, its costs, and the share of the importance that it has left of the unpruned network's."""

    network: Prunable
    costs: Costs
    kept: float


@dataclass(frozen=True)
class _Pruning:
    source: Uncompressed
    budgets: Budgets
    gauges: Gauges
    recipe: Recipe
    measure: Measure
    steps: int
    monitor: Monitor

    @functools.cached_property
    def _whole(self) -> Costs:
        """The costs of the network that is to become smaller."""
        return self._costs(self.source.architecture)

    def require_needed(self, low_rank: float | None) -> None:
        """Raises `InvalidInput` where nothing is to be done, or cannot be, before anything is trained."""
        if low_rank is not None:
            require(is_factorable(self.source.architecture), "layers of blocks with the option `rank` become two where "
                    f"these have fewer weights, but '{self.source.name}' has no such layers")
            return
        require(not is_feasible(self.budgets.violations(self._whole)), "a network is compressed to budgets that it "
                f"exceeds, but '{self.source.name}' meets them with {self._said(self._whole)}: {self.budgets}")
        self._require_smaller(self.source.architecture, self._whole)

    def kept(self, path: Path, identity: str, teacher: Teacher, low_rank: float | None) -> tuple[Architecture, Weights]:
        """Returns the network before its final training, and writes it: that which an earlier call has left, or a new.

        Args:
            path: of the file.
            identity: of all that the network depends on.
            teacher: the trained network, from which it learns.
            low_rank: the share of energy that its kernels keep as two factors, None for no factors.
        """
        found = load_pruned(path, identity)
        if found is not None:
            self.monitor.say(f"{self.source.name}: pruned before, going on from '{path}'")
            return found
        if low_rank is None:
            found = self._pruned(teacher.architecture, teacher.arrays, self._whole, teacher)
        else:
            found = self._factored(teacher, low_rank)
        keep_pruned(path, identity, *found)
        return found

    def _factored(self, teacher: Teacher, share: float) -> tuple[Architecture, Weights]:
        """Returns the network with two factors for a layer where that makes it smaller, and pruned if it must be."""
        name, whole = self.source.name, teacher.architecture
        architecture, arrays = factored(whole, teacher.arrays, share)
        require(architecture != whole, "layers become two where these have fewer weights, but to keep "
                f"{share:g} of their energy those of '{name}' all stay as they are")
        self.monitor.say(f"{name}: of low rank {architecture.params:,} parameters instead of {whole.params:,}")
        for target, gauge in self.gauges.items():
            self.monitor.progress("timing before and after", 0, 1)
            before_ms, after_ms = (gauge.latency(form, CLOSE).median_ms for form in (whole, architecture))
            self.monitor.say(f"latency on {target}: {before_ms:.3g} ms before, {after_ms:.3g} ms after"
                             + (", slower" if after_ms > before_ms else ""))
        costs = self._costs(architecture)
        if is_feasible(self.budgets.violations(costs)) and self._holds(architecture, costs):
            return architecture, arrays
        self._require_smaller(architecture, costs)
        return self._pruned(architecture, arrays, costs, teacher)

    def _require_smaller(self, architecture: Architecture, costs: Costs) -> None:
        """Raises `InvalidInput` unless the smallest form of a network, which exceeds its budgets, meets them."""
        name = self.source.name
        self.monitor.say(f"{name}: {self.budgets.excess(costs)}")
        self.monitor.progress("measuring the smallest form", 0, 1)
        least = self._costs(smallest(architecture))
        require(is_feasible(self.budgets.violations(least)), "a smaller form of the network must meet its budgets, but "
                f"of the smallest of '{name}' {self.budgets.excess(least)}")

    def _pruned(self, architecture: Architecture, arrays: Weights, costs: Costs, teacher: Teacher
                ) -> tuple[Architecture, Weights]:
        """Returns the form of a network that meets the budgets; between steps it learns from a teacher."""
        both = self.source.dataset.train_and_validation
        training = Images.put(both.images, both.labels, self.source.dataset)
        recipe = dataclasses.replace(self.recipe, epochs=TUNING_EPOCHS)
        kept, step, meeting = 1.0, 0, list[_Form]()
        while True:
            self.monitor.progress("importance of channels and blocks, step", step, self.steps)
            network = Prunable(architecture, arrays, self.measure(architecture, arrays, training))
            forms = self._forms(network, costs, kept, max(1, self.steps - step))
            best, step = forms[0], step + 1
            self.monitor.say(f"step {step}: {self._said(best.costs)}, {1 - best.kept:.1%} of importance lost")
            meeting += filter(self._meets, forms)
            if self._meets(best) and (chosen := self._confirmed(meeting)) is not None:
                return chosen.architecture, chosen.arrays
            self.monitor.progress("training between steps", step, self.steps)
            architecture, costs, kept = best.network.architecture, best.costs, best.kept
            arrays = train(architecture, training, None, Fidelity(recipe), initial=best.network.arrays,
                           teachers=(teacher,)).arrays

    def _costs(self, architecture: Architecture) -> Costs:
        return costs_within(architecture, self.budgets, self.gauges, self.budgets.timed, (CAREFUL, CLOSE))

    def _meets(self, form: _Form) -> bool:
        return is_feasible(self.budgets.violations(form.costs))

    def _forms(self, network: Prunable, costs: Costs, kept: float, steps: int) -> list[_Form]:
        """Returns smaller forms of a network, first the one that loses least importance for what it gains.

        Args:
            network: of the step.
            costs: those of the network.
            kept: the share of importance that it has left.
            steps: in so many the budgets are to be met.
        """
        before, prices = self._used(costs), self._prices(costs)
        share = min(before ** (-1 / steps), 1 - LEAST_CUT)
        ways = [*((price, part, False) for price in prices for part in (share, share**2)), (prices[0], share, True)]
        forms = {form.architecture: form for price, part, with_block in ways
                 if (form := cheapest(network, price, part * price(network.architecture),
                                      begin_with_block=with_block)) is not None}
        if not forms:
            raise InvalidInput(f"a smaller form must meet the budgets, but nothing more can be cut from '"
                               f"{self.source.name}': {self.budgets.excess(costs)}")
        measured = []
        for done, form in enumerate(forms.values()):
            self.monitor.progress("measuring smaller forms", done, len(forms))
            measured.append(_Form(form, self._costs(form.architecture), kept * (1 - form.share_lost)))

        def rate(form: _Form) -> tuple[float, float]:
            used = self._used(form.costs)
            gained = before - max(used, 1.0)  # beyond the budgets nothing is gained
            return form.network.lost / gained if gained > 0 else math.inf, used

        return sorted(measured, key=rate)

    def _prices(self, costs: Costs) -> Sequence[Price]:
        """Returns the quantity to cut: that whose budget is exceeded most, or estimates of it where that is a time."""
        violations = self.budgets.violations(costs)
        worst = self.budgets.limits[max(violations, key=lambda name: violations[name])].quantity
        return PRICES.get(worst, (macs, activations))

    def _used(self, costs: Costs) -> float:
        """Returns the largest share of a budget that is used."""
        return 1 + max(self.budgets.violations(costs).values())

    def _confirmed(self, meeting: list[_Form]) -> Prunable | None:
        """Returns the form that has most importance left of those that fresh processes find to meet the budgets too.

        Those that they do not are taken out of the list.
        """
        while meeting:
            form = max(meeting, key=lambda form: form.kept)
            if self._holds(form.network.architecture, form.costs, f", {1 - form.kept:.1%} of importance lost"):
                return form.network
            meeting.remove(form)
        return None

    def _holds(self, architecture: Architecture, costs: Costs, lost: str = "") -> bool:
        """Tells whether fresh processes find a network to meet the budgets too; without a turn its timing stands."""
        if not self.budgets.timed:
            return True
        self.monitor.progress("timing in fresh processes", 0, 1)
        try:
            costs = dataclasses.replace(costs, latencies=slowest(
                architecture, self.budgets.timed, self.source.quiet_ms, wait_s=WAIT_S))
        except NoTurn as error:
            self.monitor.say(f"not timed again before its final training: {error}")
            return True
        met = is_feasible(self.budgets.violations(costs))
        self.monitor.say(f"timed again: {self._said(costs) + lost if met else self.budgets.excess(costs)}")
        return met

    def _said(self, costs: Costs) -> str:
        """Returns the limited quantities, as far as they were measured."""
        values = ((limit, costs.value(limit.quantity, limit.target)) for limit in self.budgets.limits.values())
        return ", ".join(f"{limit.quantity} {limit.format(value)}" for limit, value in values if value is not None)


def macs(architecture: Architecture) -> float:
    """Returns the multiply-adds."""
    return architecture.macs


def params(architecture: Architecture) -> float:
    """Returns the parameters."""
    return architecture.params


def memory(architecture: Architecture) -> float:
    """Returns the bytes of live activations."""
    return architecture.memory_bytes


def activations(architecture: Architecture) -> float:
    """Returns the numbers that all operations write, which take time where they compute little."""
    return sum(math.prod(operation.output_shape) for program in architecture.block_programs
               for operation in program.operations)


PRICES: dict[str, tuple[Price, ...]] = {"macs": (macs,), "params": (params,), "size": (params,), "memory": (memory,)}

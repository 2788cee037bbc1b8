"""A network leaves: trained to the end, written for each format, compared, timed in a fresh process, certified.

The trained weights are written before anything that may fail or take long, so that no training is lost.
"""

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from evaluators.datasets import Dataset
from evaluators.evaluator import Fidelity
from evaluators.latency import MeasurementFailed
from evaluators.machine.files import whole_directory
from evaluators.machine.ownership import temporary_directory
from evaluators.machine.trouble import MachineTrouble
from evaluators.networks.weights import Weights, initial_arrays
from evaluators.recipe import Recipe
from evaluators.runtimes import (
    Options,
    Target,
    is_predicting,
    parse_target,
    require_installed,
    require_usable,
    runtime_of,
)
from evaluators.runtimes.quantisation import INT8_PROCESSORS, LARGEST_WEIGHTS
from evaluators.runtimes.target import INT8
from evaluators.training.teacher import Teacher
from nas.export.certificate import (
    ACCURACY_LOSS_POINTS,
    ROUNDING_POINTS,
    Exported,
    as_written,
    assessed,
    open_budgets,
    score_of,
    time_files,
    write_certificate,
)
from nas.export.comparison import Reference, relative_latency
from nas.export.entries import Certificate, Comparison, File, Origin, OverSeeds, RunBy, Training
from nas.export.formats import FORMATS, Format, format_of, formats_for, precision_of
from nas.export.place import replaced, require_place
from nas.export.trained import (
    Checkpoints,
    all_beside,
    keep_trained,
    load_trained,
    require_replaceable,
    require_seeds,
    training_id,
    weights_beside,
)
from nas.measuring.inputs import calibration_images
from nas.measuring.meters import counted
from nas.problem.budgets import Budgets
from nas.run.monitor import Monitor
from nas.run.trust import remember
from search_spaces.architecture import Architecture
from search_spaces.errors import require, unknown
from search_spaces.numbers import count_of, plain

COLOURS = {1: "read as grey, ", 3: "read as RGB, "}  # of images, by their channels
FINE_TUNING_EPOCHS = (1, 3)  # of files of int8 that lose too much accuracy, one after the other
SLOWER = 1.02  # as a multiple of another latency: one process cannot tell latencies any better


@dataclass(frozen=True)
class Order:
    """A network, its training to the end, and the budgets of its files.

    Attributes:
        name: what to call the network.
        architecture: the network.
        dataset: the data, fitting the network in channels and classes; None for a network that is delivered as it is.
        targets: canonical texts of the runtimes it is shipped on, at least one.
        budgets: what the files must meet.
        recipe: the training on training and validation images; of 0 epochs, the initial arrays stay as they are.
        formats: names of `FORMATS` to write besides those of the targets.
        initial: arrays by name to begin with; what is missing is drawn.
        teachers: trained networks that it learns from, as far as the recipe says.
        origin: what the certificate says of where the network comes from.
        quiet_ms: what the reference model takes on each target when the machine is quiet, where that is known.
        accuracy_loss_points: percentage points that a file may be less accurate than the network.
        preprocess_inside: whether the files of runtimes take bytes and normalise them themselves.
        seeds: how many trainings, from so many seeds in a row, tell how far the accuracy is due to chance; the network
            of the first is delivered.
        texts: what is known of the classes and images of a network that is delivered without data.
    """

    name: str
    architecture: Architecture
    dataset: Dataset | None
    targets: Sequence[str]
    budgets: Budgets
    recipe: Recipe
    formats: Sequence[str] = ()
    initial: Weights = field(default_factory=dict, repr=False)
    teachers: Sequence[Teacher] = field(default=(), repr=False)
    origin: Origin = field(default_factory=Origin)
    quiet_ms: Mapping[str, float] = field(default_factory=dict)
    accuracy_loss_points: float = ACCURACY_LOSS_POINTS
    preprocess_inside: bool = False
    seeds: int = 1
    texts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "accuracy_loss_points", plain(self.accuracy_loss_points))
        require(self.dataset is not None or not self.recipe.epochs,
                f"training needs data, but got none for {count_of(self.recipe.epochs, 'epoch')}")
        require_seeds(self.recipe, self.seeds)
        require(self.dataset is not None or not self.preprocess_inside,
                "`preprocess_inside` needs data, by whose mean and deviation images are normalised, but got none")


def require_deliverable(formats: Sequence[str], directory: Path | None, accuracy_loss_points: float,
                        sources: Sequence[Path] = ()) -> None:
    """Raises `InvalidInput` if files cannot be written so: to be called before anything that takes long.

    An unknown format, one whose runtime is not installed, a directory that is no place for what is made of the files
    `sources`, see `require_place`, or files that are to lose less than nothing.
    """
    require(accuracy_loss_points >= 0, f"`accuracy_loss` must not be negative, but got {accuracy_loss_points:g}")
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
        if (runtime := FORMATS[name].runtime) is not None:
            require_installed(runtime)
        module = FORMATS[name].module
        require(not module or find_spec(module) is not None, f"files are run to be compared with the network, so that "
                f"the format '{name}' needs its library (pip install {module}), but '{module}' is not installed")
    if directory is not None:
        require_place(directory, sources)
        require_replaceable(weights_beside(directory))


def deliver(order: Order, directory: Path, monitor: Monitor) -> Exported:
    """Returns the export of a network: its files and their certificate, which appear together or not at all.

    Raises:
        InvalidInput: an unknown format, or a directory of something else than an export.
    """
    require_deliverable(order.formats, directory, order.accuracy_loss_points)
    beside = all_beside(directory, order.seeds)
    for path in beside:
        require_replaceable(path)
    for target in order.targets:
        require_usable(parse_target(target))
    targets = [parse_target(target) for target in order.targets]
    wanted = formats_for(targets, order.formats, order.preprocess_inside)
    lacking = [written.name for written, target in wanted[len(targets):]
               if precision_of(target) != precision_of(targets[0])]
    if lacking:
        monitor.say(f"{order.name}: in float32, as they have no other precision: {', '.join(lacking)}")
    with whole_directory(directory) as temporary:
        names = [name for written, target in wanted for name in written.names(precision_of(target))]
        if said := replaced(directory, names):
            monitor.say(f"{order.name}: {said}")
        arrays, training = trained_arrays(order, beside[0], monitor)
        references = {as_bytes: Reference.of(order.architecture, arrays, order.dataset, order.recipe.seed, as_bytes)
                      for as_bytes in {False, *(written.takes_bytes for written, _ in wanted)}}
        over_seeds = _over_seeds(order, references[False], beside[1:order.seeds], monitor)
        files = [_write(order, written, target, arrays, references[written.takes_bytes], temporary, monitor)
                 for written, target in wanted]
        certificate = _certificate(order, references[False], files, training)
        if certificate["accuracy"] and over_seeds:
            certificate["accuracy"]["over_seeds"] = over_seeds
        monitor.progress("timing the files", 0, 1)
        certificate["timings"] = [time_files(temporary, order.architecture, files, order.quiet_ms)]
        certificate = assessed(certificate)
        write_certificate(temporary, certificate)
        require_place(directory)  # something may have been put there meanwhile; the trained weights stay beside it
    for path in beside:
        path.unlink(missing_ok=True)
    exported = Exported(directory, certificate)
    remember(directory, *exported.named)
    return exported


def is_trained(order: Order, directory: Path) -> bool:
    """Tells whether an earlier export of the same order was stopped after its training."""
    return load_trained(weights_beside(directory), _training_id(order)) is not None


def trained_arrays(order: Order, path: Path, monitor: Monitor) -> tuple[Weights, Training]:
    """Returns the arrays of the trained network: those in a file that an earlier call has left there, or new ones."""
    if order.dataset is None or not order.recipe.epochs:
        return initial_arrays(order.architecture.program, order.recipe.seed) | order.initial, {
            "images": 0, "epochs": 0, "duration_s": 0.0}
    identity = _training_id(order)
    kept = load_trained(path, identity)
    if kept is not None:
        monitor.say(f"{order.name}: trained before, going on from '{path}'")
        return kept
    arrays, training = _train_to_the_end(order, Checkpoints(path, identity, order.architecture), monitor)
    keep_trained(path, identity, order.architecture, arrays, training)
    return arrays, training


def _over_seeds(order: Order, first: Reference, further: Sequence[Path], monitor: Monitor) -> OverSeeds | None:
    """Returns the metric of the network and of its trainings from further seeds, if there are any.

    None of them is chosen: training and validation images are all learned, and test images must not choose.
    """
    if not further:
        return None
    accuracies = [first.network_score]
    for seed, path in enumerate(further, order.recipe.seed + 1):
        again = dataclasses.replace(order, name=f"{order.name}, seed {seed}", seeds=1,
                                    recipe=dataclasses.replace(order.recipe, seed=seed))
        arrays, _ = trained_arrays(again, path, monitor)
        accuracies.append(Reference.of(order.architecture, arrays, order.dataset, seed).network_score)
    return {"count": len(accuracies), "mean": statistics.mean(accuracies),
            "deviation": statistics.stdev(accuracies), "each": accuracies}


def _training_id(order: Order) -> str:
    fingerprint = order.dataset.fingerprint if order.dataset is not None else ""
    return training_id(order.architecture, fingerprint, order.recipe, order.initial, order.teachers)


def _train_to_the_end(order: Order, checkpoints: Checkpoints, monitor: Monitor) -> tuple[Weights, Training]:
    """Returns the arrays of the network after training on training and validation images.

    A training that was stopped goes on from its last checkpoint, to the same arrays.
    """
    from evaluators.training.train import Images, train

    assert order.dataset is not None
    recipe, both = order.recipe, order.dataset.train_and_validation
    checkpoint = checkpoints.found()
    behind = f", going on after {checkpoint['epochs']}" if checkpoint else ""
    monitor.say(f"{order.name}: training for {count_of(recipe.epochs, 'epoch')} on training and validation "
                f"images{behind}")

    def on_epoch(epoch: int, checkpoint: Callable[[], Weights]) -> None:
        checkpoints.keep(checkpoint)
        monitor.progress("final training, epochs", epoch, recipe.epochs)

    trained = train(order.architecture, Images.put(both.images, both.labels, order.dataset), None,
                    Fidelity(recipe, checkpoint=checkpoint), initial=order.initial, teachers=order.teachers,
                    on_epoch=on_epoch)
    training: Training = {
        "images": len(both), "epochs": recipe.epochs, "duration_s": round(checkpoints.spent_s + trained.duration_s, 1),
        "compiled": trained.compiled,
        "recipe": {"batch": recipe.batch, "augmentation": recipe.augmentation, **recipe.changed}}
    if order.teachers:
        training["recipe"] |= recipe.teaching
        training["teachers"] = [{"name": teacher.name, "sha256": teacher.sha256} for teacher in order.teachers]
    return trained.arrays, training


def _metadata(order: Order) -> dict[str, str]:
    """Returns the texts that travel in a file: how images are prepared for it, and its classes."""
    architecture, dataset = order.architecture, order.dataset
    if dataset is None:
        return {"architecture": architecture.text, **order.texts}
    loaded, used = dataset.resolution, architecture.input.resolution
    shrunk = f", then to {used}x{used}" if used != loaded else ""
    colours = COLOURS.get(dataset.channels, "")
    return {
        "architecture": architecture.text,
        "classes": json.dumps(dataset.classes),
        "mean": json.dumps([float(str(value)) for value in dataset.mean]),  # as few digits as tell it from all others
        "std": json.dumps([float(str(value)) for value in dataset.std]),
        "preprocessing": f"{colours}crop the middle square, resize to {loaded}x{loaded}{shrunk} (bilinear, "
                         "antialiased), scale to [0, 1], subtract mean, divide by std",
    }


def _write(order: Order, written: Format, target: Target | None, arrays: Weights, reference: Reference,
           directory: Path, monitor: Monitor) -> File:
    """Returns the certificate's entry of one format, having written, loaded and compared its file.

    Targets whose files are of one kind and precision share a file.
    """
    monitor.progress(f"writing and checking {written.name}", 0, 1)
    precision = precision_of(target)
    path = directory / written.names(precision)[0]
    if not path.exists():
        written.write(order.architecture, arrays, path, _texts(order, written),
                      calibration_images(order.architecture, order.dataset, order.recipe.seed))
    compared, remarks = reference.compared(written.load(path)), list[str]()
    if precision == INT8 and order.recipe.epochs:
        compared, remarks = _fine_tuned(order, written, arrays, reference, path, compared, monitor)
    entry: File = {"format": written.name, **as_written(path), **_run_by(written, target), **compared}
    if written.beside is not None:
        entry["beside"] = as_written(written.beside(path))
    if target is not None and precision != Options.precision and not is_predicting(runtime_of(target)):
        beside = _beside_float32(order, target, arrays, path)
        entry.update(beside)
        remarks += beside.get("remarks", [])
    if remarks:
        entry["remarks"] = remarks
    return entry


def _fine_tuned(order: Order, written: Format, arrays: Weights, reference: Reference, path: Path, compared: Comparison,
                monitor: Monitor) -> tuple[Comparison, list[str]]:
    """Returns the comparison of a file of int8 and remarks on it, after the training that it needs.

    A file that loses more accuracy than is allowed is written anew, from weights that were fine-tuned for it, for more
    epochs as long as that does not do; one that is no better leaves the file as it is.
    """
    from evaluators.training.train import Images
    from nas.export.fine_tuning import fine_tuned

    assert order.dataset is not None
    network, remarks = 100 * reference.network_score, list[str]()
    both, other = order.dataset.train_and_validation, path.with_stem(f"{path.stem}-tuned")
    calibration = calibration_images(order.architecture, order.dataset, order.recipe.seed)
    lost = network - 100 * score_of(compared)
    for epochs in FINE_TUNING_EPOCHS:
        if network - 100 * score_of(compared) <= order.accuracy_loss_points + ROUNDING_POINTS:
            break
        said = f"fine-tuned for {count_of(epochs, 'epoch')}, as in int8 it lost {lost:.2f} points"
        monitor.say(f"{path.name}: {said}")
        tuned = fine_tuned(order.architecture, arrays, calibration,
                           Images.put(both.images, both.labels, order.dataset),
                           dataclasses.replace(order.recipe, epochs=epochs), LARGEST_WEIGHTS[written.name])
        written.write(order.architecture, tuned, other, _texts(order, written), calibration)
        found = reference.compared(written.load(other))
        if score_of(found) > score_of(compared):
            compared, remarks = found, [said]
            other.replace(path)
        other.unlink(missing_ok=True)
    return compared, remarks


def _texts(order: Order, written: Format) -> dict[str, str]:
    """Returns the texts that travel in a file of a format: those of the order, and the layout of its input."""
    texts = _metadata(order) | {"layout": written.layout}
    if written.takes_bytes:
        texts["preprocessing"] += "; all from scaling on happens inside the file"
    return texts


def _run_by(written: Format, target: Target | None) -> RunBy:
    """Returns the certificate's words on the runtime that a file is for, if it is for one."""
    if target is None:
        return {}
    runtime = runtime_of(target)
    run_by: RunBy = {"target": target.text, "input": written.layout, "versions": runtime.versions()}
    if target.options.precision == INT8:
        run_by["processors"] = INT8_PROCESSORS[written.name]
    return run_by


def _beside_float32(order: Order, target: Target, arrays: Weights, path: Path) -> RunBy:
    """Returns the latency of a file of another precision beside that of its float32 form, for the certificate."""
    float32 = Target(target.runtime, dataclasses.replace(target.options, precision=Options.precision), target.argument)
    with temporary_directory() as directory:
        other = directory / f"model{path.suffix}"
        form = format_of(float32, order.preprocess_inside)
        form.write(order.architecture, arrays, other, _texts(order, form))
        try:
            ratio = relative_latency(target, path, other, order.architecture.program.input_shape)
        except (MeasurementFailed, MachineTrouble) as error:
            return {"remarks": [f"not timed beside its float32 form: {error}"]}
    than = "slower than" if ratio > SLOWER else "faster than" if ratio * SLOWER < 1 else "as fast as"
    return {"relative_latency": ratio,
            "remarks": [f"{than} its float32 form: {ratio:.2f} times its latency, timed in turns"]}


def _certificate(order: Order, reference: Reference, files: list[File], training: Training) -> Certificate:
    """Returns the certificate of files that have not been timed yet; its accuracy is that of the first target's."""
    architecture, dataset = order.architecture, order.dataset
    return {
        "budgets": open_budgets(order.budgets),
        "targets": list(order.targets),
        "architecture": architecture.text,
        "id": architecture.id,
        **order.origin,
        "accuracy": reference.accuracy(files[0], dataset) if dataset else None,
        "accuracy_loss_points": order.accuracy_loss_points,
        "costs": {name: value for name, value in vars(counted(architecture)).items() if value},
        "files": files,
        "preprocessing": _metadata(order),
        "training": training,
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint, "split": dataset.split} if dataset else None,
        "timings": [],
    }

"""Candidates scored as the files that they are shipped as, so that a search is told what quantisation costs each."""

from dataclasses import dataclass, replace

import numpy as np

from evaluators.datasets import Dataset
from evaluators.datasets.metrics import METRICS
from evaluators.evaluator import Evaluator, Fidelity, Score, close
from evaluators.machine.locks import training_turn
from evaluators.machine.ownership import temporary_directory
from evaluators.runtimes import Target, parse_target, runtime_of
from evaluators.runtimes.target import FLOAT32
from nas.measuring.inputs import batches_of, calibration_images, logits_for
from search_spaces.architecture import Architecture


def as_shipped(evaluate: Evaluator, target: str, precision: str) -> Evaluator:
    """Returns an evaluator that gives scores as files of a precision have them, on a target of that precision."""
    return evaluate if precision == FLOAT32 else ScoredAsFile(evaluate, parse_target(target))


@dataclass(frozen=True)
class ScoredAsFile:
    """An evaluator whose scores are those of files of the networks that another one has trained.

    The file is written and calibrated as an export does it, and the runtime computes its logits.
    """

    evaluate: Evaluator
    target: Target

    def __call__(self, architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score:
        """Returns the score of the file, with that of the network beside it; nobody measures meanwhile."""
        score = self.evaluate(architecture, data, fidelity)
        assert isinstance(score, Score) and score.arrays, "a network is trained before it becomes a file"
        with training_turn():
            logits = self._logits(architecture, data, score, fidelity.recipe.seed)
        metric, labels = METRICS[data.metric], data.validation.labels
        accuracy, total = metric.measured(logits, labels)
        return replace(score, accuracy=accuracy, total=total, float32_accuracy=score.accuracy,
                       log_loss=metric.log_loss(logits, labels))

    def close(self) -> None:
        """Closes the other evaluator."""
        close(self.evaluate)

    def _logits(self, architecture: Architecture, data: Dataset, score: Score, seed: int) -> np.ndarray:
        runtime = runtime_of(self.target)
        with temporary_directory() as directory:
            path = directory / f"model{runtime.suffix}"
            runtime.write(architecture, score.arrays, path, {}, calibration_images(architecture, data, seed))
            run = runtime.load(path, self.target.options).run
            return logits_for(run, batches_of(architecture, data, data.validation), len(data.validation))

"""The worth of a search: its winner beside networks that were made by hand, and beside logistic regression."""

from collections.abc import Iterator, Sequence

from evaluators.datasets.metrics import ACCURACY
from nas.problem.candidate import Candidate, best_by_hand, metric_of, winner


def worth(candidates: Sequence[Candidate], easy_accuracy: float | None) -> Iterator[str]:
    """Yields lines that compare the winner with the easy alternatives, and say what to do where it is no better.

    Args:
        candidates: of the search; those made by hand are marked so.
        easy_accuracy: the validation accuracy of logistic regression, where that is known.
    """
    best = winner(candidates)
    if not best or best.accuracy is None:
        return
    if all(one.start for one in candidates if one.epochs and one.continues is None):
        yield ("only networks that a search begins with were trained, none that the strategy proposes: more candidates "
               "(--trials, --time) search")
    by_hand, others = best_by_hand(candidates), {}
    if by_hand and by_hand.accuracy is not None:
        others[f"the best published network made by hand {by_hand.accuracy:.2%} (trial {by_hand.trial})"] = (
            by_hand.accuracy)
    if easy_accuracy is not None:
        others[f"logistic regression {easy_accuracy:.2%}"] = easy_accuracy
    if not others:
        return
    by = f"{metric_of([best]).title} " if best.metric != ACCURACY else ""
    yield f"{by}on the same validation images: {', '.join(others)}, the winner {best.accuracy:.2%}"
    if best.by_hand or best.accuracy <= max(others.values()):
        yield ("nothing better than that was found: longer trainings (--epochs), more candidates (--trials, --time), "
               "another space (--space) or a larger budget may help")

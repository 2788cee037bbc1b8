"""The worth of a search: its winner beside networks that were made by hand, and beside logistic regression."""

from collections.abc import Iterator, Sequence

from nas.problem.candidate import Candidate, Outcome, best_by_hand, winner

OPEN = (Outcome.RUNNING, Outcome.WAITING)


def worth(candidates: Sequence[Candidate], easy_accuracy: float | None) -> Iterator[str]:
    """Yields lines on what the winner lacks, with what to do; none while trials are open.

    Args:
        candidates: of the search; those made by hand are marked so.
        easy_accuracy: the validation accuracy of logistic regression, where that is known.
    """
    best = winner(candidates)
    if not best or best.accuracy is None or any(one.outcome in OPEN for one in candidates):
        return
    if all(one.start for one in candidates if one.epochs and one.continues is None):
        yield ("only networks that a search begins with were trained, none that the strategy proposes: more candidates "
               "(--trials, --time) search")
    by_hand = best_by_hand(candidates)
    alternatives = {"the best network made by hand": by_hand.accuracy if by_hand else None,
                    "logistic regression": easy_accuracy}
    equals = [name for name, accuracy in alternatives.items() if accuracy is not None and accuracy >= best.accuracy]
    if equals:
        yield (f"nothing better than {' and '.join(equals)} was found: longer trainings (--epochs), more candidates "
               "(--trials, --time), another space (--space) or a larger budget may help")

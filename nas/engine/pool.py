"""The evaluators of the workers of one process, and networks that these train at a time."""

import contextlib
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from evaluators.evaluator import Context, Evaluator, close
from evaluators.machine.devices import accelerators, whole_cores
from evaluators.runtimes.target import FLOAT32
from nas.engine.group import Group, fit_side_by_side
from nas.engine.workers import Limits, TrainingProcess
from nas.measuring.scoring import as_shipped
from nas.run.config import SearchConfig, evaluator_named

TRAINING = "training"  # the evaluator that trains on the images
MOST = 4  # processes that are started without being asked for, each of which has the images in its memory
NO_LIMITS = Limits()

Means = TypeVar("Means")
Task = TypeVar("Task")
Result = TypeVar("Result")


def training_processes() -> int:
    """Returns how many networks train at a time where nobody has said it: one on each core, or on an accelerator.

    A small network trains hardly faster on two cores than on one (docs/decisions/0005-workers.md).
    """
    return 1 if accelerators() else min(whole_cores(), MOST)


def workers_of(config: SearchConfig) -> int:
    """Returns how many candidates a search trains at a time, as asked for or as `SearchConfig.workers` says."""
    return config.workers or (1 if config.in_turn else training_processes())


@contextlib.contextmanager
def evaluators(name: str, context: Context, workers: int, limits: Limits = NO_LIMITS, target: str = "",
               precision: str = FLOAT32) -> Iterator[list[Evaluator]]:
    """Yields the evaluator of each worker; their processes end with the context.

    One without limits trains here. Otherwise each has a process, or all that share an accelerator have one, unless
    limits are to be kept by each candidate.

    Args:
        name: that of the evaluator.
        context: that it is made in.
        workers: how many networks train at a time.
        limits: of each training.
        target: the first one, whose files are scored where `precision` says so.
        precision: of these files.
    """
    with contextlib.ExitStack() as stack:
        made: list[Evaluator]
        if workers == 1 and limits == NO_LIMITS:
            made = [evaluator_named(name)(context)]
            stack.callback(close, made[0])
        elif name == TRAINING and limits == NO_LIMITS and fit_side_by_side(context.recipe) and accelerators() == 1:
            made = [Group(stack.enter_context(TrainingProcess(name, context, 0, 1)), workers)] * workers
        else:
            made = [stack.enter_context(TrainingProcess(name, context, worker, workers, limits))
                    for worker in range(workers)]
        yield [as_shipped(evaluator, target, precision) for evaluator in made]


def each(means: Sequence[Means], work: Callable[[Means, Task], Result], tasks: Sequence[Task]
         ) -> Iterator[tuple[Task, Result]]:
    """Yields tasks with what work on them returns, as they end; each means of work has one of them at a time.

    Where one raises an error no other one is begun; whoever closes the means ends those that were.
    """
    if len(means) == 1:
        yield from ((task, work(means[0], task)) for task in tasks)
        return
    idle, failed = queue.SimpleQueue[Means](), list[BaseException]()
    for one in means:
        idle.put(one)

    def done(task: Task) -> tuple[Task, Result]:
        one = idle.get()
        try:
            if failed:
                raise failed[0]
            return task, work(one, task)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            idle.put(one)

    pool = ThreadPoolExecutor(len(means))
    try:
        for future in as_completed([pool.submit(done, task) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

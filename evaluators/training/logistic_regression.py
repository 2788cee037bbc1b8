"""The easy accuracy: logistic regression on the pixels, to put an accuracy into perspective."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evaluators.datasets import Dataset, Split
from evaluators.datasets.metrics import METRICS
from evaluators.training.executables import Executable

PIXELS = 32  # larger images are shrunk to it
STEPS = 100
PENALTIES = (1.0, 10.0, 100.0)


def easy_accuracy(dataset: Dataset, train: Split | None = None, test: Split | None = None) -> float:
    """Returns the share of the test images that logistic regression gets right, or what the metric of the data says.

    It is fitted on training and validation images, with the penalty of `PENALTIES` that was best on validation. Other
    images may be given to fit it on, and to count.
    """
    scores = {penalty: logistic_regression(dataset.train, dataset.validation, dataset, penalty)
              for penalty in PENALTIES}
    return logistic_regression(train or dataset.train_and_validation, test or dataset.test, dataset,
                               max(scores, key=scores.__getitem__))


def logistic_regression(train: Split, test: Split, dataset: Dataset, penalty: float = 1.0) -> float:
    """Returns the share of the test images that multinomial logistic regression, fitted on the others, gets right.

    For data of another metric, what that says. Fitted by L-BFGS on pixels in [0, 1]; the L2 penalty is half the squared
    weights over the number of images, as in scikit-learn with `C = 1 / penalty`.
    """
    classes = len(dataset.classes)
    x, test_x = _pixels(train.images), _pixels(test.images)
    kernel, bias = _fitted(x, jax.nn.one_hot(train.labels, classes), np.float32(penalty))
    return METRICS[dataset.metric].of(np.asarray(test_x) @ np.asarray(kernel) + np.asarray(bias), test.labels)


def _fit(x: jax.Array, targets: jax.Array, penalty: float) -> tuple[jax.Array, jax.Array]:
    """Returns the kernel `[F, classes]` and the bias of least loss on rows `[N, F]`."""
    def loss(weights: tuple[jax.Array, jax.Array]) -> jax.Array:
        logits = x @ weights[0] + weights[1]
        return optax.softmax_cross_entropy(logits, targets).mean() + penalty * (weights[0] ** 2).sum() / (2 * len(x))

    optimizer = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(_: int, carry: tuple) -> tuple:
        weights, state = carry
        value, gradient = value_and_grad(weights, state=state)
        updates, state = optimizer.update(gradient, state, weights, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(weights, updates), state

    weights = jnp.zeros((x.shape[1], targets.shape[1])), jnp.zeros(targets.shape[1])
    return jax.lax.fori_loop(0, STEPS, step, (weights, optimizer.init(weights)))[0]


_fitted = Executable(_fit)  # which takes seconds to compile for each number of images


@functools.partial(jax.jit, static_argnames="resolution")
def _shrink(images: jax.Array, resolution: int) -> jax.Array:
    return jax.image.resize(images, (images.shape[0], resolution, resolution, images.shape[3]), "linear")


def _pixels(images: np.ndarray) -> jax.Array:
    x = jnp.asarray(images, jnp.float32) / 255
    x = _shrink(x, PIXELS) if images.shape[1] > PIXELS else x
    return x.reshape(len(x), -1)

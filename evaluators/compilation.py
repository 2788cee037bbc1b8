"""Compile once per distinct block, use in every candidate.

A training step is a chain of small compiled functions, one pair for each block: the forward pass leaves the block's
output and what its backward pass needs; the backward pass applies the optimizer's update to the block's own weights.
A candidate made of blocks that were seen before, on inputs of the same shape, compiles nothing. The same step compiled
as one program (`whole=True`) gives the same numbers; accelerators, where launching small pieces costs more than
compiling, use that.
"""

import functools
import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from evaluators.network import run
from search_spaces.layers import Program

Arrays = dict[str, jax.Array]


class BlockState(NamedTuple):
    """What training changes in one block."""

    weights: Arrays
    statistics: Arrays
    optimizer: Any


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov and Hutter 2019); weight decay is for kernels only. The learning rate is given at each step."""

    weight_decay: float = 0.05
    momentum: float = 0.9
    second_momentum: float = 0.99
    label_smoothing: float = 0.1

    def transformation(self) -> optax.GradientTransformation:
        """Returns the update for a learning rate of 1, of the opposite sign."""
        return optax.chain(
            optax.scale_by_adam(self.momentum, self.second_momentum),
            optax.add_decayed_weights(self.weight_decay, lambda weights: {
                name: name.endswith("/kernel") for name in weights}))

    def init(self, weights: Arrays) -> Any:
        """Returns the optimizer's state for the weights of a block."""
        return self.transformation().init(weights)

    def update(self, gradients: Arrays, weights: Arrays, state: Any, rate: jax.Array) -> tuple[Arrays, Any]:
        """Returns the weights and the state after a step."""
        updates, state = self.transformation().update(gradients, state, weights)
        return {name: weights[name] - rate * updates[name] for name in weights}, state


Step = Callable[[list[BlockState], jax.Array, jax.Array, jax.Array], tuple[list[BlockState], jax.Array]]
Inference = Callable[[list[BlockState], jax.Array], jax.Array]


def training_step(programs: tuple[Program, ...], optimizer: Optimizer, whole: bool) -> Step:
    """Returns `step(states, images [B, H, W, C], labels [B], rate) -> (states, loss)`; the old states are consumed."""
    body = [_block(program, optimizer, first=index == 0) for index, program in enumerate(programs[:-1])]
    last = _last_block(programs[-1], optimizer, first=len(programs) == 1)

    def step(states: list[BlockState], images: jax.Array, labels: jax.Array, rate: jax.Array
             ) -> tuple[list[BlockState], jax.Array]:
        x, pullbacks, statistics = images, [], []
        for (forward, _), state in zip(body, states, strict=False):
            x, pullback, after = forward(state.weights, state.statistics, x)
            pullbacks.append(pullback)
            statistics.append(after)
        updated, gradient, loss = last(states[-1], x, labels, rate)
        stepped = [updated]
        for (_, backward), state in zip(reversed(body), reversed(states[:-1]), strict=True):
            weights, moments, gradient = backward(pullbacks.pop(), state.weights, state.optimizer, gradient, rate)
            stepped.append(BlockState(weights, statistics.pop(), moments))
        return stepped[::-1], loss

    return jax.jit(step, donate_argnums=0) if whole else step


def inference(programs: tuple[Program, ...], whole: bool) -> Inference:
    """Returns `infer(states, images [B, H, W, C]) -> logits [B, classes]`."""
    blocks = [_block_inference(program) for program in programs]

    def infer(states: list[BlockState], images: jax.Array) -> jax.Array:
        x = images
        for block, state in zip(blocks, states, strict=True):
            x = block(state.weights, state.statistics, x)
        return x.reshape(x.shape[0], -1)

    return jax.jit(infer) if whole else infer


def use_persistent_cache() -> None:
    """Makes JAX keep compiled programs in the user's cache directory, apart for each version of JAX."""
    if jax.config.jax_compilation_cache_dir is None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir",
                          str(base / "paretonas" / f"jax-{importlib.metadata.version('jaxlib')}"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@functools.lru_cache(maxsize=1024)
def _block(program: Program, optimizer: Optimizer, first: bool) -> tuple[Callable, Callable]:
    """Returns the compiled forward and backward pass; the first block of a network leaves no input gradient."""

    @jax.jit
    def forward(weights: Arrays, statistics: Arrays, x: jax.Array) -> tuple:
        if first:
            return jax.vjp(lambda weights: run(program, weights, statistics, x, train=True), weights, has_aux=True)
        return jax.vjp(lambda weights, x: run(program, weights, statistics, x, train=True), weights, x, has_aux=True)

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def backward(pullback: Callable, weights: Arrays, moments: Any, gradient: jax.Array, rate: jax.Array) -> tuple:
        gradients, *below = pullback(gradient)
        return *optimizer.update(gradients, weights, moments, rate), below[0] if below else None

    return forward, backward


@functools.lru_cache(maxsize=1024)
def _last_block(program: Program, optimizer: Optimizer, first: bool) -> Callable:
    """Returns the compiled forward pass, loss, backward pass and update of the classifier."""

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: BlockState, x: jax.Array, labels: jax.Array, rate: jax.Array) -> tuple:
        def loss_of(weights: Arrays, x: jax.Array) -> tuple[jax.Array, Arrays]:
            y, after = run(program, weights, state.statistics, x, train=True)
            logits = y.reshape(x.shape[0], -1).astype(jnp.promote_types(y.dtype, jnp.float32))
            targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype),
                                          optimizer.label_smoothing)
            return optax.softmax_cross_entropy(logits, targets).mean(), after

        argnums = 0 if first else (0, 1)
        (loss, after), gradients = jax.value_and_grad(loss_of, argnums, has_aux=True)(state.weights, x)
        own, below = (gradients, None) if first else gradients
        weights, moments = optimizer.update(own, state.weights, state.optimizer, rate)
        return BlockState(weights, after, moments), below, loss

    return step


@functools.lru_cache(maxsize=1024)
def _block_inference(program: Program) -> Callable:
    return jax.jit(lambda weights, statistics, x: run(program, weights, statistics, x, train=False)[0])

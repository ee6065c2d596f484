"""Optimisers: their rules by hand, schedules, clipping, the stable step, and whole minimisations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from numpyro import optim

START = {"a": np.array([1.0, -2.0], np.float32), "b": np.float32(0.5)}
GRADIENTS = [{"a": np.array([1.0, -3.0]) * (i + 1), "b": np.array(0.2)} for i in range(3)]


def adam(g, memory, i, b1=0.9, b2=0.999):
    m, v = memory or (0.0, 0.0)
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    return m / (1 - b1 ** (i + 1)) / (np.sqrt(v / (1 - b2 ** (i + 1))) + 1e-8), (m, v)


def adagrad(g, memory, i, momentum=0.9):
    total, m = memory or (0.0, 0.0)
    total = total + g**2
    m = momentum * m + (1 - momentum) * g / np.sqrt(total)
    return m, (total, m)


def momentum(g, memory, i):
    m = 0.7 * (0.0 if memory is None else memory) + g
    return m, m


def rmsprop(g, memory, i):
    v = 0.9 * (0.0 if memory is None else memory) + 0.1 * g**2
    return g / np.sqrt(v + 1e-8), v


def rmsprop_momentum(g, memory, i):
    v, m = memory or (0.0, 0.0)
    v = 0.9 * v + 0.1 * g**2
    m = 0.9 * m + g / np.sqrt(v + 1e-8)
    return m, (v, m)


RULES = [
    (optim.Adam(0.1), adam),
    (optim.Adam(0.1, 0.8, 0.9), lambda g, m, i: adam(g, m, i, 0.8, 0.9)),
    (optim.Adam(step_size=lambda i: 0.1 / (i + 1)), lambda g, m, i: (adam(g, m, i)[0] / (i + 1), adam(g, m, i)[1])),
    (optim.ClippedAdam(0.1, clip_norm=0.3), lambda g, m, i: adam(np.clip(g, -0.3, 0.3), m, i)),
    (optim.Adagrad(0.1), adagrad),
    (optim.Adagrad(0.1, momentum=0.5), lambda g, m, i: adagrad(g, m, i, 0.5)),
    (optim.Momentum(0.1, 0.7), momentum),
    (optim.RMSProp(0.1), rmsprop),
    (optim.RMSPropMomentum(0.1), rmsprop_momentum),
    (optim.SGD(0.1), lambda g, m, i: (g, None)),
    (optim.SM3(0.1, 0.5), lambda g, m, i: adagrad(g, m, i, 0.5)),  # of vectors, whose rows are their entries
    (optim.optax_to_numpyro(optax.sgd(0.1)), lambda g, m, i: (g, None)),
]


@pytest.mark.parametrize(("optimizer", "rule"), RULES, ids=lambda x: type(x).__name__)
def test_steps_follow_the_rule(optimizer, rule):
    state = optimizer.init(START)
    expected, memory = dict(START), dict.fromkeys(START)
    for i, gradient in enumerate(GRADIENTS):
        state = optimizer.update(jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), gradient), state)
        for name in START:
            step, memory[name] = rule(gradient[name], memory[name], i)
            expected[name] = expected[name] - 0.1 * step
    found = optimizer.get_params(state)
    for name in START:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)
        assert found[name].shape == np.shape(START[name])
    assert int(state[0]) == 3


@pytest.mark.parametrize("forward", [False, True])
def test_evaluation_and_step_in_one(forward):
    optimizer = optim.SGD(0.1)
    state = optimizer.init({"a": 2.0})
    (value, aux), moved = optimizer.eval_and_update(
        lambda p: (p["a"] ** 2, {"seen": p["a"]}), state, forward_mode_differentiation=forward
    )
    assert (float(value), float(aux["seen"])) == (4.0, 2.0)
    np.testing.assert_allclose(optimizer.get_params(moved)["a"], 2.0 - 0.1 * 4.0)


@pytest.mark.parametrize("loss", [lambda p: jnp.log(p["a"] - 3.0), lambda p: jnp.sqrt(p["a"] * 0.0)])
def test_the_stable_step_leaves_out_what_is_not_finite(loss):
    optimizer = optim.Adam(0.1)
    state = optimizer.init({"a": jnp.array(2.0)})
    (value, _), same = optimizer.eval_and_stable_update(lambda p: (loss(p), None), state)
    jax.tree.map(np.testing.assert_array_equal, same, state)
    _, moved = optimizer.eval_and_stable_update(lambda p: (p["a"] ** 2, None), state)
    assert optimizer.get_params(moved)["a"] < 2.0


def test_rules_that_look_at_the_loss_are_given_it():
    plateau = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1, factor=0.5))
    optimizer = optim.optax_to_numpyro(plateau)
    state = optimizer.init({"a": jnp.array(0.0)})
    for _ in range(4):
        _, state = optimizer.eval_and_update(lambda p: (1.0 + 0.0 * p["a"], None), state)
    assert float(state[1][1][1].scale) < 1.0


def test_minimize_goes_to_the_minimum_at_once():
    optimizer = optim.Minimize()
    state = optimizer.init({"a": jnp.array([1.0, 1.0]), "b": 0.0})

    def rosenbrock(p):
        x, y = p["a"]
        return (1 - x) ** 2 + 10 * (y - x**2) ** 2 + (p["b"] - 2.0) ** 2, None

    (value, _), state = optimizer.eval_and_update(rosenbrock, state)
    found = optimizer.get_params(state)
    np.testing.assert_allclose([*found["a"], found["b"]], [1.0, 1.0, 2.0], atol=1e-3)
    assert float(value) < 1e-6
    with pytest.raises(ValueError, match="mutable states"):
        optimizer.eval_and_update(lambda p: (p["b"] ** 2, {"count": 1}), state)
    with pytest.raises(ValueError, match="reverse mode"):
        optimizer.eval_and_update(rosenbrock, state, forward_mode_differentiation=True)

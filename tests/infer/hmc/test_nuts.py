"""The No-U-Turn trajectory: its turns against brute force, its tree against a recursion, its depth and divergences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer.hmc.integrator import PhasePoint
from numpyro.infer.hmc.metric import DenseMetric, DiagonalMetric
from numpyro.infer.hmc.nuts import (
    Checkpoints,
    Course,
    begin_subtree,
    begin_tree,
    is_turning,
    no_checkpoints,
    nuts_trajectory,
    transition_of,
    turns_at_once,
    turns_one_by_one,
)
from numpyro.infer.hmc.random_bits import counter_uniform, seed_words

INVERSE = np.array([[1.5, 0.4], [0.4, 0.6]])


def turned(momenta, inverse):
    """The criterion, from all momenta of a stretch."""
    rho = momenta.sum(0) - (momenta[0] + momenta[-1]) / 2
    return momenta[0] @ inverse @ rho <= 0 or momenta[-1] @ inverse @ rho <= 0


# Turns


def turns_by_checkpoints(momenta, depth, compare):
    """For each leaf, whether a balanced subtree that ends there has turned, by the module's checkpoints."""
    metric = DenseMetric(2)
    mass = metric.mass_matrix(jnp.asarray(INVERSE, momenta.dtype))

    def visit(carry, leaf):
        r_sum, rows_r, rows_sum = carry
        r = momenta[leaf]
        r_sum = r_sum + r
        row = jnp.where(leaf % 2 == 0, jax.lax.population_count(leaf), depth)
        rows_r, rows_sum = rows_r.at[row].set(r), rows_sum.at[row].set(r_sum)
        checkpoints = Checkpoints(rows_r, rows_sum)
        return (r_sum, *checkpoints), compare(metric, mass, leaf, r, r_sum, checkpoints)

    rows = jnp.full((depth + 1, 2), jnp.nan, momenta.dtype)
    return jax.lax.scan(visit, (jnp.zeros(2, momenta.dtype), rows, rows), jnp.arange(2**depth))[1]


@pytest.mark.parametrize("compare", [turns_one_by_one, turns_at_once])
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_checkpoints_see_each_balanced_subtree(x64, depth, compare):
    rng = np.random.default_rng(depth)
    # a drift makes long stretches without a turn as likely as short ones with
    drift = rng.normal(size=(500, 1, 2)) * rng.choice([0, 1, 3], size=(500, 1, 1))
    momenta = rng.normal(size=(500, 2**depth, 2)) + drift
    found = np.asarray(jax.jit(jax.vmap(lambda m: turns_by_checkpoints(m, depth, compare)))(momenta))
    expected = np.zeros_like(found)
    for level in range(1, depth + 1):
        size = 2**level
        for last in range(size - 1, 2**depth, size):
            stretch = momenta[:, last - size + 1 : last + 1]
            expected[:, last] |= [turned(m, INVERSE) for m in stretch]
    np.testing.assert_array_equal(found, expected)
    assert 0.05 < expected[:, 1::2].mean() < 0.95


def test_a_straight_stretch_has_not_turned_and_a_half_circle_has():
    metric = DiagonalMetric(2)
    mass = metric.mass_matrix(jnp.ones(2))

    def has_turned(angles):
        momenta = np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)
        return bool(is_turning(metric, mass, momenta[0], momenta[-1], momenta.sum(0)))

    assert not has_turned(np.zeros(4))
    # on a circle the ends come closer once it has turned by half: the sum is along the middle of the arc
    assert not has_turned(np.linspace(0, 0.97 * np.pi, 64))
    assert has_turned(np.linspace(0, 1.03 * np.pi, 64))
    assert not has_turned(np.linspace(0, -0.97 * np.pi, 64))


# Trees


def quartic(z):
    return 0.25 * jnp.sum(z**4) + 0.5 * z[0] * z[1]


def run(potential, z, r, step_size, max_depth, seed, num_checkpoints=8):
    metric = DenseMetric(2)
    mass = metric.mass_matrix(jnp.asarray(INVERSE, z.dtype))
    value_and_grad = jax.value_and_grad(potential)
    start = PhasePoint(z, r, *value_and_grad(z))
    course = Course(mass, step_size, max_depth, seed, start.potential + metric.kinetic_energy(mass, r))
    tree = begin_tree(course, start)
    subtree = begin_subtree(course, tree, no_checkpoints(z, num_checkpoints))
    return transition_of(nuts_trajectory(value_and_grad, metric, course, tree, subtree)[0])


run_all = jax.jit(jax.vmap(lambda *arguments: run(quartic, *arguments), (0, 0, None, None, 0)))


def recursion(z, r, step_size, max_depth, forwards):
    """The tree by recursive halves (Hoffman & Gelman 2014, algorithm 3, with the generalised criterion), in NumPy.

    Returns the points of the trajectory in order, the number of steps, and the sum of acceptance probabilities.
    """
    grad = lambda z: z**3 + 0.5 * z[::-1]
    energy = lambda z, r: 0.25 * np.sum(z**4) + 0.5 * z[0] * z[1] + 0.5 * r @ INVERSE @ r
    initial = energy(z, r)
    steps, accept = 0, 0.0

    def build(z, r, direction, depth):
        nonlocal steps, accept
        if depth == 0:
            r = r - direction * step_size / 2 * grad(z)
            z = z + direction * step_size * INVERSE @ r
            r = r - direction * step_size / 2 * grad(z)
            steps += 1
            accept += min(1.0, np.exp(initial - energy(z, r)))
            return [(z, r)], False
        near, stop = build(z, r, direction, depth - 1)
        if stop:
            return near, True
        far, stop = build(*near[-1], direction, depth - 1)
        both = near + far
        return both, stop or turned(np.array([r for _, r in both]), INVERSE)

    points = [(z, r)]
    for depth in range(max_depth):
        direction = 1 if forwards[depth] else -1
        new, stop = build(*points[-1 if direction > 0 else 0], direction, depth)
        if stop:
            break
        points = points + new if direction > 0 else new[::-1] + points
        if turned(np.array([r for _, r in points]), INVERSE):
            break
    return points, steps, accept


@pytest.mark.parametrize("step_size", [0.05, 0.2, 0.5])
def test_the_tree_is_that_of_the_recursion(x64, step_size):
    count, max_depth = 60, 6
    rng = np.random.default_rng(1)
    z, r = rng.normal(size=(2, count, 2))
    seeds = jax.vmap(seed_words)(jax.random.split(jax.random.key(0), count))
    found = jax.tree.map(np.asarray, run_all(z, r, step_size, max_depth, seeds))
    counters = -2 * np.arange(max_depth) - 1
    directions = jax.vmap(jax.vmap(lambda s, c: counter_uniform(s, c, np.dtype("f8")), (None, 0)), (0, None))
    forwards = np.asarray(directions(seeds, counters)) < 0.5
    lengths = set()
    for i in range(count):
        points, steps, accept = recursion(z[i], r[i], step_size, max_depth, forwards[i])
        lengths.add(steps)
        assert found.num_steps[i] == steps
        assert found.accept_prob[i] == pytest.approx(accept / steps, abs=1e-9)
        distances = [np.linalg.norm(found.z[i] - point) for point, _ in points]
        assert min(distances) < 1e-9  # the new state is a point of the trajectory
        at = points[int(np.argmin(distances))]
        assert found.potential[i] == pytest.approx(float(quartic(at[0])), abs=1e-9)
        assert found.energy[i] == pytest.approx(found.potential[i] + 0.5 * at[1] @ INVERSE @ at[1], abs=1e-9)
    assert len(lengths) > 5


def test_forwards_and_backwards_are_equally_likely():
    seeds = jax.vmap(seed_words)(jax.random.split(jax.random.key(1), 20_000))
    forwards = np.asarray(jax.vmap(lambda s: counter_uniform(s, jnp.int32(-1), np.dtype("f4")) < 0.5)(seeds))
    assert abs(forwards.mean() - 0.5) < 4 * 0.5 / np.sqrt(20_000)  # 1 in 10^4


# Depth and divergence


def plain(z, height, width):
    """A plain, with a cliff at a distance from the origin."""
    return jnp.where(jnp.abs(z[0]) > width, height, 0.0) + 1e-6 * jnp.sum(z**2)


@pytest.fixture(scope="module")
def run_on_plain():
    """Transitions from the origin, by the height and the place of the cliff and the depth; compiled once."""

    @jax.jit
    def run_all(seeds, height, width, max_depth):
        z = jnp.zeros(2)
        return jax.vmap(lambda s: run(lambda z: plain(z, height, width), z, z + 1, 0.2, max_depth, s))(seeds)

    seeds = jax.vmap(seed_words)(jax.random.split(jax.random.key(2), 64))
    return lambda *settings: jax.tree.map(np.asarray, run_all(seeds, *map(np.float32, settings)))


@pytest.mark.parametrize("max_depth", [1, 2, 5, 8])
def test_a_tree_has_at_most_two_to_the_depth_points(run_on_plain, max_depth):
    found = run_on_plain(0, 1, max_depth)
    np.testing.assert_array_equal(found.num_steps, 2**max_depth - 1)
    assert not np.any(found.diverging)


@pytest.mark.parametrize("height", [np.nan, np.inf, 1001.0, 999.0])
def test_a_point_of_no_return_is_a_divergence(run_on_plain, height):
    found = run_on_plain(height, 1, 6)
    diverges = height != 999  # a thousand is the bound
    np.testing.assert_array_equal(found.diverging, diverges)
    assert np.all(np.abs(found.z[:, 0]) <= 1)
    assert np.all(np.isfinite(found.z))
    assert np.all(np.isfinite(found.energy))
    assert np.all((found.accept_prob >= 0) & (found.accept_prob < 1))
    assert np.all((found.num_steps < 2**6 - 1) == diverges)  # the trajectory ends at the cliff
    assert len(np.unique(found.z[:, 0])) > 2


def test_a_first_step_over_the_cliff_stays(run_on_plain):
    found = run_on_plain(np.nan, 0, 6)
    np.testing.assert_array_equal(found.z, 0)
    np.testing.assert_array_equal(found.num_steps, 1)
    np.testing.assert_array_equal(found.accept_prob, 0)
    assert np.all(found.diverging)

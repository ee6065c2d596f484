"""What all distributions share: shapes, wrappers, transforms, pytrees, validation, users' own subclasses."""

from __future__ import annotations

import inspect
import pickle
import threading
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from jax import random

import numpyro.distributions as dist
from numpyro._errors import UsageError
from numpyro.distributions import constraints, transforms
from numpyro.distributions.distribution import enable_validation, validation_enabled
from numpyro.distributions.util import lazy_property, validate_sample

KEY = random.key(0)
NORMAL = dist.Normal(0.5, 2.0)
ROW = dist.Normal(np.arange(3.0), 1.0)


class Window(dist.Distribution):
    """Uniform on [0, width], as users write it: attributes after ``super().__init__``, a support that depends."""

    arg_constraints = {"width": constraints.positive}
    reparametrized_params = ["width"]
    pytree_data_fields = ("label_array",)
    pytree_aux_fields = ("label",)

    def __init__(self, width: Any, label: str = "w", *, validate_args: bool | None = None) -> None:
        super().__init__(jnp.shape(width), validate_args=validate_args)
        self.width = width
        self.label = label
        self.label_array = np.zeros(2)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(0.0, self.width)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.width * random.uniform(key, self.shape(sample_shape))

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        return -jnp.log(self.width) + 0 * value


class Bare(dist.Distribution):
    """The least that a user writes: no constraints on parameters, support a plain property."""

    def __init__(self, shift: Any) -> None:
        self.shift = shift
        super().__init__(np.shape(shift))

    @property
    def support(self) -> Any:
        return constraints.greater_than(self.shift)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.shift + random.exponential(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        return self.shift - value


# Shapes and wrappers


def test_to_event_takes_all_batch_dimensions_by_default() -> None:
    d = dist.Normal(np.zeros((2, 3)), 1.0)
    assert (d.to_event().batch_shape, d.to_event().event_shape) == ((), (2, 3))
    assert (d.to_event(1).batch_shape, d.to_event(1).event_shape) == ((2,), (3,))
    assert d.to_event(0) is d
    nested = d.to_event(1).to_event(1)
    assert (nested.batch_shape, nested.event_shape, nested.event_dim) == ((), (2, 3), 2)


@pytest.mark.parametrize("ndims", [3, -1])
def test_to_event_needs_that_many_batch_dimensions(ndims: int) -> None:
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        dist.Normal(np.zeros((2, 3)), 1.0).to_event(ndims)


def test_independent_sums_log_prob_entropy_and_keeps_moments() -> None:
    value = np.array([0.1, 0.2, 0.3])
    d = ROW.to_event(1)
    np.testing.assert_allclose(d.log_prob(value), st.norm(np.arange(3.0)).logpdf(value).sum(), rtol=1e-6)
    np.testing.assert_allclose(d.entropy(), 3 * st.norm.entropy(), rtol=1e-6)
    assert d.mean.shape == d.variance.shape == (3,)
    assert d.support == constraints.independent(constraints.real, 1)
    assert d.expand((4,)).shape() == (4, 3)
    assert isinstance(d.expand((4,)), dist.Independent)


def test_expand_draws_independently_and_in_place() -> None:
    # base of batch (2, 1, 3): location 10 * i + k must stand at [.., i, :, k]
    loc = 10.0 * np.arange(2)[:, None, None] + np.arange(3)
    d = dist.Normal(loc, 1e-3).expand((5, 2, 4, 3))
    draws = np.asarray(d.sample(KEY, (6,)))
    assert draws.shape == (6, 5, 2, 4, 3)
    np.testing.assert_allclose(draws, np.broadcast_to(loc, draws.shape), atol=0.01)
    assert len(np.unique(draws)) > 0.95 * draws.size  # no copies, but for rounding
    assert d.mean.shape == d.variance.shape == d.entropy().shape == (5, 2, 4, 3)


def test_expand_of_an_event_keeps_events_together() -> None:
    loc = np.array([[0.0, 1.0], [10.0, 11.0]])[:, None]  # batch (2, 1), event (2,)
    d = dist.Normal(loc, 1e-3).to_event(1).base_dist.to_event(1).expand((2, 3))
    np.testing.assert_allclose(d.sample(KEY), np.broadcast_to(loc, (2, 3, 2)), atol=0.01)
    mvn_like = dist.ExpandedDistribution(dist.Dirichlet(np.array([[[1.0, 1e4]], [[1e4, 1.0]]])), (2, 3))
    draws = np.asarray(mvn_like.sample(KEY, (5,)))
    assert draws.shape == (5, 2, 3, 2)
    assert (draws[:, 0, :, 1] > 0.99).all() and (draws[:, 1, :, 0] > 0.99).all()


def test_expand_twice_is_expand_once() -> None:
    d = NORMAL.expand((1, 3)).expand((2, 3))
    assert d.base_dist is NORMAL
    assert len(np.unique(d.sample(KEY))) == 6
    assert NORMAL.expand(()) is NORMAL
    assert NORMAL.expand_by([2]).batch_shape == (2,)
    assert ROW.expand_by((2, 1)).batch_shape == (2, 1, 3)


@pytest.mark.parametrize("shape", [(2,), (3, 1), ()])
def test_expand_needs_shapes_that_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="^ExpandedDistribution: Cannot broadcast distribution of shape"):
        ROW.expand(shape)


def test_expanded_cdf_and_icdf() -> None:
    d = NORMAL.expand((2,))
    np.testing.assert_allclose(d.icdf(d.cdf(np.array([0.1, 0.7]))), [0.1, 0.7], rtol=1e-5)
    assert d.cdf(0.0).shape == (2,)


@pytest.mark.parametrize(("expand", "shape"), [(True, (2, 4, 3)), (False, (2, 1, 1))])
def test_enumerate_support_of_wrappers(expand: bool, shape: tuple[int, ...]) -> None:
    d = dist.Bernoulli(np.full(3, 0.5)).expand((4, 3))
    assert d.has_enumerate_support and d.is_discrete
    assert d.enumerate_support(expand=expand).shape == shape
    assert d.mask(np.ones((4, 3), bool)).enumerate_support(expand=expand).shape == shape
    with pytest.raises(NotImplementedError):
        d.to_event(1).enumerate_support()


# Masks


def test_mask_zeroes_density_and_gradient_whatever_the_value() -> None:
    mask = np.array([True, False, True, False])
    value = np.array([1.0, -1.0, 2.0, np.nan])
    d = dist.Exponential(np.ones(4)).mask(mask)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # masked values are nobody's business
        np.testing.assert_array_equal(d.log_prob(value), [-1.0, 0.0, -2.0, 0.0])
    np.testing.assert_array_equal(jax.grad(lambda x: d.log_prob(x).sum())(value), [-1.0, 0.0, -1.0, 0.0])
    by_rate = jax.grad(lambda rate: dist.Exponential(rate).mask(mask).log_prob(value).sum())(np.ones(4))
    np.testing.assert_array_equal(by_rate, [0.0, 0.0, -1.0, 0.0])


def test_mask_of_vector_events() -> None:
    d = dist.Dirichlet(np.ones((2, 3))).mask(np.array([True, False]))
    value = np.array([[0.2, 0.3, 0.5], [7.0, np.nan, -1.0]])
    np.testing.assert_allclose(d.log_prob(value), [np.log(2.0), 0.0], rtol=1e-6)
    assert np.isfinite(jax.grad(lambda x: d.log_prob(x).sum())(value)).all()


def test_mask_broadcasts_the_batch() -> None:
    assert NORMAL.mask(np.array([True, False])).batch_shape == (2,)
    assert ROW.mask(np.array([[True], [False]])).batch_shape == (2, 3)
    assert ROW.to_event(1).mask(np.array([True, False])).shape() == (2, 3)
    assert NORMAL.mask(True) is NORMAL
    with pytest.raises(ValueError, match="broadcast"):
        ROW.mask(np.array([True, False]))
    with pytest.raises(TypeError, match="mask"):
        NORMAL.mask("yes")


def test_mask_false_is_static_and_evaluates_nothing() -> None:
    d = ROW.mask(False)
    np.testing.assert_array_equal(d.log_prob(np.zeros((2, 3))), np.zeros((2, 3)))
    assert "exp" not in str(jax.make_jaxpr(d.log_prob)(np.zeros(3)))
    assert len(jax.tree_util.tree_leaves(d)) == 2
    assert jax.tree_util.tree_map(lambda x: x, d)._mask is False
    np.testing.assert_array_equal(d.mean, ROW.mean)


# Transformed distributions


def test_transforms_on_vectors_make_events_of_batch_dimensions() -> None:
    d = dist.TransformedDistribution(ROW, transforms.StickBreakingTransform())
    assert (d.batch_shape, d.event_shape, d.base_dist.event_shape) == ((), (4,), (3,))
    both = dist.TransformedDistribution(
        ROW.expand((5, 3)), [transforms.ExpTransform(), transforms.StickBreakingTransform()]
    )
    assert both.shape() == (5, 4)
    with pytest.raises(ValueError, match="at least 1"):
        dist.TransformedDistribution(NORMAL, transforms.StickBreakingTransform())


def test_parameters_of_transforms_expand_the_base() -> None:
    d = dist.TransformedDistribution(NORMAL, transforms.AffineTransform(np.zeros(3), 1.0))
    assert d.batch_shape == d.base_dist.batch_shape == (3,)
    assert len(np.unique(d.sample(KEY))) == 3
    later = dist.TransformedDistribution(
        ROW, [transforms.StickBreakingTransform(), transforms.AffineTransform(0.0, np.ones((2, 1)))]
    )
    assert (later.batch_shape, later.event_shape) == ((2,), (4,))
    assert later.log_prob(np.full(4, 0.25)).shape == (2,)


def test_transformed_events_sum_their_log_determinants() -> None:
    d = dist.TransformedDistribution(ROW.to_event(1), transforms.ExpTransform())
    assert d.event_shape == (3,)
    assert d.support == constraints.independent(constraints.positive, 1)
    value = np.array([0.5, 1.0, 2.0])
    expected = st.lognorm(1.0, scale=np.exp(np.arange(3.0))).logpdf(value).sum()
    np.testing.assert_allclose(d.log_prob(value), expected, rtol=1e-5)


def test_transforming_a_transformed_distribution_chains() -> None:
    d = dist.TransformedDistribution(dist.LogNormal(0.0, 1.0), transforms.AffineTransform(1.0, 2.0))
    assert isinstance(d.base_dist, dist.Normal) and len(d.transforms) == 2
    np.testing.assert_allclose(d.log_prob(2.0), st.lognorm(1.0, loc=1, scale=2).logpdf(2.0), rtol=1e-5)


def test_transformed_density_vanishes_where_the_transform_does_not_lead() -> None:
    parts = [transforms.ExpTransform(), transforms.AffineTransform(1.0, 2.0, domain=constraints.positive)]
    d = dist.TransformedDistribution(NORMAL.expand((2,)).to_event(1), parts)
    log_prob = jax.jit(d.log_prob)(np.array([[2.0, 3.0], [2.0, 0.5]]))
    assert np.isfinite(log_prob[0]) and log_prob[1] == -np.inf


@pytest.mark.parametrize("scale", [2.0, -2.0])
def test_cdf_and_icdf_follow_the_direction_of_transforms(scale: float) -> None:
    d = dist.TransformedDistribution(
        dist.Normal(0.0, 1.0), [transforms.AffineTransform(1.0, scale), transforms.ExpTransform()]
    )
    x = np.array([0.3, 1.0, 5.0])
    np.testing.assert_allclose(d.cdf(x), st.lognorm(2.0, scale=np.e).cdf(x), rtol=1e-5)
    np.testing.assert_allclose(d.icdf(d.cdf(x)), x, rtol=1e-4)


def test_intermediates_spare_the_inverse() -> None:
    d = dist.LogNormal(0.0, 1.0).expand((2,)).to_event(1)
    value, intermediates = d.sample_with_intermediates(KEY, (3,))
    assert value.shape == (3, 2) and len(intermediates) == 1
    np.testing.assert_allclose(d.log_prob(value, intermediates=intermediates), d.log_prob(value), rtol=1e-5)
    assert NORMAL.sample_with_intermediates(KEY)[1] == []
    d = dist.TransformedDistribution(dist.Cauchy(0.0, 1.0), transforms.ExpTransform())

    def log_density_of_draw(key: Any, spare: bool) -> Any:
        value, intermediates = d.sample_with_intermediates(key)
        return d.log_prob(value, intermediates if spare else None)

    logs = [str(jax.make_jaxpr(log_density_of_draw, static_argnums=1)(KEY, spare)).count("= log ") for spare in (0, 1)]
    assert logs[1] == logs[0] - 1
    with pytest.raises(ValueError, match="Expected = 1"):
        d.log_prob(1.0, [])


@pytest.mark.parametrize("wrong", ["exp", ["exp"], None])
def test_transforms_must_be_transforms(wrong: Any) -> None:
    with pytest.raises(ValueError, match="transforms must be a Transform"):
        dist.TransformedDistribution(NORMAL, wrong)


def test_folded_distribution_is_the_absolute_value() -> None:
    d = dist.FoldedDistribution(dist.Normal(0.5, 1.0))
    reference = st.foldnorm(0.5)
    x = np.array([0.1, 1.0, 3.0])
    np.testing.assert_allclose(d.log_prob(x), reference.logpdf(x), rtol=1e-5)
    np.testing.assert_allclose(d.cdf(x), reference.cdf(x), rtol=1e-5)
    assert st.kstest(np.asarray(d.sample(KEY, (1000,))), reference.cdf).pvalue > 1e-3
    assert jax.jit(d.log_prob)(-0.5) == -np.inf
    with pytest.raises(ValueError, match="univariate"):
        dist.FoldedDistribution(ROW.to_event(1))


# Distributions without a family


def test_delta() -> None:
    d = dist.Delta(np.arange(3.0), log_density=2.0, event_dim=1)
    assert (d.batch_shape, d.event_shape) == ((), (3,))
    np.testing.assert_array_equal(d.sample(None, (2,)), np.broadcast_to(np.arange(3.0), (2, 3)))
    assert d.log_prob(np.arange(3.0)) == 2.0
    assert d.log_prob(np.array([0.0, 1.0, 3.0])) == -np.inf
    assert d.entropy() == -2.0
    np.testing.assert_array_equal(d.mean, np.arange(3.0))
    np.testing.assert_array_equal(d.variance, np.zeros(3))
    assert d.support.event_dim == 1 and d.has_rsample and not d.is_discrete
    assert dist.Delta(np.zeros(3), np.zeros((2, 1))).batch_shape == (2, 3)
    assert dist.Delta.infer_shapes((2, 3), event_dim=1) == ((2,), (3,))
    with pytest.raises(ValueError, match="event_dim"):
        dist.Delta(1.0, event_dim=1)


def test_unit_is_a_log_density_on_nothing() -> None:
    d = dist.Unit(np.array([1.0, 2.0]))
    assert (d.batch_shape, d.event_shape) == ((2,), (0,))
    assert d.sample(None, (3,)).shape == (3, 2, 0)
    np.testing.assert_array_equal(d.log_prob(np.zeros((3, 2, 0))), [[1.0, 2.0]] * 3)
    np.testing.assert_array_equal(d.log_prob(None), [1.0, 2.0])
    assert not d.has_rsample


def test_improper_uniform() -> None:
    d = dist.ImproperUniform(constraints.simplex, (2,), (4, 3))
    assert d.support == constraints.independent(constraints.simplex, 1)
    np.testing.assert_array_equal(d.log_prob(np.full((5, 2, 4, 3), 1 / 3)), np.zeros((5, 2)))
    assert d.expand((7, 2)).batch_shape == (7, 2)
    with pytest.raises(NotImplementedError, match="sample"):
        d.sample(KEY)
    with pytest.raises(UsageError, match="event_shape"):
        dist.ImproperUniform(constraints.simplex, (), ())
    with pytest.warns(UserWarning, match="Out-of-support"):
        assert dist.ImproperUniform(constraints.positive, (), ()).log_prob(-1.0) == -np.inf


# Calls, defaults, representation


def test_calling_draws() -> None:
    np.testing.assert_array_equal(NORMAL(rng_key=KEY, sample_shape=(2,)), NORMAL.sample(KEY, (2,)))
    value, intermediates = dist.LogNormal(0.0, 1.0)(rng_key=KEY, sample_intermediates=True)
    assert value == jnp.exp(intermediates[0][0])


def test_what_is_missing_names_the_class() -> None:
    class Nothing(dist.Distribution):
        pass

    d = Nothing()
    for call in (
        lambda: d.sample(KEY),
        lambda: d.log_prob(0.0),
        lambda: d.mean,
        lambda: d.variance,
        lambda: d.mode,
        lambda: d.entropy(),
        lambda: d.cdf(0.0),
        lambda: d.icdf(0.5),
        lambda: d.enumerate_support(),
        lambda: Nothing.infer_shapes(),
    ):
        with pytest.raises(NotImplementedError, match="Nothing has no"):
            call()
    with pytest.raises(AssertionError, match="support"):
        _ = d.is_discrete
    assert d.support is None and d.arg_constraints == {} and not d.has_enumerate_support
    with pytest.raises(NotImplementedError, match="use sample"):
        dist.Bernoulli(0.5).rsample(KEY)


def test_class_and_signature_are_shown() -> None:
    assert list(inspect.signature(dist.Normal).parameters) == ["loc", "scale", "validate_args"]
    assert repr(ROW.to_event(1)).startswith("<numpyro.distributions.distribution.Independent object at 0x")
    assert repr(ROW).endswith("with batch shape (3,) and event shape ()>")
    assert dist.Independent.__module__ == dist.Delta.__module__ == "numpyro.distributions.distribution"


def test_infer_shapes_takes_shapes_by_position_or_name() -> None:
    assert dist.Normal.infer_shapes((2,), (3, 1)) == ((3, 2), ())
    assert dist.Normal.infer_shapes(scale=(4,)) == ((4,), ())
    assert dist.Dirichlet.infer_shapes((2, 3)) == ((2,), (3,))
    assert Window.infer_shapes((5,)) == ((5,), ())
    with pytest.raises(NotImplementedError, match="Independent"):
        dist.Independent.infer_shapes((2,))
    with pytest.raises(ValueError, match="scale_tril"):
        dist.MultivariateNormal.infer_shapes((2,), scale_tril=(2,))


# Pytrees


@pytest.mark.parametrize(
    "make",
    [
        lambda: ROW,
        lambda: ROW.to_event(1),
        lambda: NORMAL.expand((2, 3)),
        lambda: ROW.mask(np.array([True, False, True])),
        lambda: ROW.mask(False),
        lambda: dist.TransformedDistribution(ROW, transforms.StickBreakingTransform()),
        lambda: dist.FoldedDistribution(ROW),
        lambda: dist.Delta(np.arange(3.0), 1.0, event_dim=1),
        lambda: dist.Unit(np.arange(3.0)),
        lambda: dist.ImproperUniform(constraints.greater_than(np.zeros(3)), (), (3,)),
        lambda: Window(np.array([1.0, 2.0]), label="two"),
        lambda: dist.Normal(0.0, 1.0, validate_args=False),
    ],
)
def test_every_wrapper_is_a_pytree(make: Any) -> None:
    d = make()
    leaves, structure = jax.tree_util.tree_flatten(d)
    assert structure == jax.tree_util.tree_structure(make()) and hash(structure) is not None
    value = jnp.ones(d.shape()) / max(len(d.event_shape) and d.event_shape[-1], 1)
    expected = d.mask(True).log_prob(value)
    carried = jax.lax.scan(lambda d, _: (d, None), jax.tree_util.tree_map(jnp.asarray, d), length=2)[0]
    copies = [jax.tree_util.tree_unflatten(structure, leaves), jax.jit(lambda d: d)(d), carried]
    if not isinstance(d, Window):  # the class of a test module has no import path
        copies.append(pickle.loads(pickle.dumps(d)))
    for other in copies:
        assert (other.batch_shape, other.event_shape) == (d.batch_shape, d.event_shape)
        assert other._validate_args == d._validate_args
        np.testing.assert_array_equal(other.log_prob(value), expected)
        assert repr(other.support) == repr(d.support) or isinstance(d, (Window, dist.ImproperUniform))


def test_fields_come_in_declared_order() -> None:
    assert dist.Normal.gather_pytree_data_fields() == ("loc", "scale")
    assert Window.gather_pytree_data_fields() == ("width", "label_array")
    assert Window.gather_pytree_aux_fields() == ("label", "_batch_shape", "_event_shape", "_validate_args")
    assert jax.tree_util.tree_leaves(dist.Normal(1.0, 2.0)) == [1.0, 2.0]
    assert jax.tree_util.tree_map(lambda x: x, Window(1.0, label="mine")).label == "mine"


def test_derived_parameters_are_no_fields() -> None:
    class ByVariance(dist.Distribution):
        arg_constraints = {"variance_": constraints.positive, "precision": constraints.positive}

        def __init__(self, variance: Any) -> None:
            self.variance_ = variance
            super().__init__(np.shape(variance))

        @lazy_property
        def precision(self) -> Any:
            return 1 / self.variance_

    d = ByVariance(4.0)
    before = jax.tree_util.tree_structure(d)
    assert d.precision == 0.25 and "precision" in d.__dict__
    assert jax.tree_util.tree_structure(d) == before


def test_lazy_properties_do_not_leak_tracers() -> None:
    d = dist.Bernoulli(probs=jnp.array(0.25))
    inside = jax.jit(lambda: d.logits)()
    assert not isinstance(d.logits, jax.core.Tracer)
    np.testing.assert_allclose(inside, d.logits, rtol=1e-6)


# Validation


def test_parameters_set_after_super_init_are_checked_too() -> None:
    with pytest.raises(ValueError, match="Window distribution got invalid width parameter"):
        Window(-1.0)
    Window(-1.0, validate_args=False)
    assert Bare(1.0).sample(KEY) > 1.0 and not Bare(1.0).is_discrete


def test_errors_say_how_many_and_show_the_first() -> None:
    with pytest.raises(
        ValueError, match=r"Normal distribution got invalid scale parameter: .*Positive.* 2 of 3 values"
    ) as info:
        dist.Normal(0.0, np.array([-1.0, 2.0, -3.0]))
    assert "-1.0 at [0], -3.0 at [2]" in str(info.value)
    with pytest.raises(ValueError, match=r"concentration parameter: .*at \[1\]"):
        dist.Dirichlet(np.array([[1.0, 2.0], [1.0, -2.0]]))


def test_wrong_values_warn_and_say_which() -> None:
    with pytest.warns(
        UserWarning, match=r"Out-of-support values provided to log prob method.*1 of 3 values \(-0.5 at \[1\]\)"
    ) as caught:
        log_prob = dist.Exponential(1.0).log_prob(np.array([0.5, -0.5, 1.0]))
    assert caught[0].filename == __file__  # the line that asked
    np.testing.assert_allclose(log_prob, [-0.5, -np.inf, -1.0])
    with pytest.warns(UserWarning, match="Window"):
        assert Window(np.array([1.0, 3.0])).log_prob(2.0)[0] == -np.inf


def test_nothing_is_looked_at_under_jit() -> None:
    assert jax.jit(lambda s: dist.Normal(0.0, s).scale)(-1.0) == -1.0
    assert np.isfinite(jax.jit(lambda x: dist.Normal(0.0, 1.0).log_prob(x))(5.0))
    with pytest.raises(ValueError, match="strict"):
        jax.jit(lambda s: dist.Normal(0.0, s).validate_args())(1.0)
    with pytest.raises(ValueError, match="scale"):  # a constant can be looked at even there
        jax.jit(lambda: dist.Normal(0.0, -1.0).loc)()


def test_a_users_density_vanishes_outside_the_support_under_jit_too() -> None:
    density = jax.jit(lambda width, x: Window(width).log_prob(x))
    np.testing.assert_allclose(density(2.0, np.array([-1.0, 1.0, 3.0])), [-np.inf, -np.log(2.0), -np.inf], rtol=1e-6)
    with validation_enabled(False):
        assert jax.jit(lambda x: Window(2.0).log_prob(x))(3.0) > -np.inf


def test_validation_can_be_turned_off_and_on() -> None:
    with validation_enabled(False):
        dist.Normal(0.0, -1.0)
        with pytest.raises(ValueError, match="scale"):
            dist.Normal(0.0, -1.0, validate_args=True)
        with validation_enabled():
            assert NORMAL._validate_args
    assert NORMAL._validate_args
    try:
        enable_validation(False)
        assert not NORMAL._validate_args
    finally:
        enable_validation()
    with pytest.raises(ValueError, match="on"):
        enable_validation("yes")


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: ROW, (4,)),
        (lambda: ROW.to_event(1), (4,)),
        (lambda: ROW.to_event(1), (2, 2)),
        (lambda: dist.Dirichlet(np.ones(3)), ()),
        (lambda: dist.Dirichlet(np.ones((2, 3))), (4, 3)),
        (lambda: dist.Dirichlet(np.ones((2, 3))), (2, 4)),
    ],
)
def test_values_that_do_not_fit_name_the_shapes(make: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not fit batch shape"):
        make().log_prob(np.full(shape, 0.25))


def test_distributions_are_made_in_threads() -> None:
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(dist.Normal(0.0, 1.0).expand((2,)).batch_shape))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(2,)] * 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dist.Normal(np.zeros(3), np.ones(4)), r"Normal got .*loc of shape \(3,\), scale of shape \(4,\)"),
        (lambda: dist.Gamma(np.ones((2, 3)), rate=np.ones(2)), r"Gamma got .*concentration of shape \(2, 3\), rate"),
    ],
)
def test_parameters_that_do_not_broadcast_are_named_with_their_shapes(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class OfOneTree(dist.Distribution):
    """As some packages write it: ``tree_flatten`` gives a pytree in place of a tuple of them."""

    support = constraints.real

    def __init__(self, params):
        self.params = params
        super().__init__()

    def log_prob(self, value):
        return -jnp.abs(value - self.params["loc"])

    def tree_flatten(self):
        return self.params, None

    @classmethod
    def tree_unflatten(cls, aux_data, params):
        return cls(params)


def test_a_subclass_may_flatten_into_one_pytree():
    doubled = jax.tree.map(lambda leaf: 2 * leaf, OfOneTree({"loc": 1.5}))
    assert doubled.params == {"loc": 3.0}
    assert jax.jit(lambda d: d.log_prob(1.0))(doubled) == -2.0

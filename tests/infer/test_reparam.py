"""Reparametrizations keep the distribution: the auxiliary site's density is the variable's times the Jacobian.

With x = f(z), log p(z) = log p(x) + log |det df/dz|, where the right-hand side takes the Jacobian from autodiff.
"""

from __future__ import annotations

import pickle
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.distributions import constraints, transforms
from numpyro.infer.reparam import (
    CircularReparam,
    DiscreteCosineReparam,
    ExplicitReparam,
    HaarReparam,
    LocScaleReparam,
    NeuTraReparam,
    ProjectedNormalReparam,
    Reparam,
    TransformReparam,
    UnitJacobianReparam,
)


class Cardioid(dist.Distribution):
    """p(x) = (1 + 2 rho cos(x - loc)) / (2 pi) on the circle."""

    arg_constraints = {"loc": constraints.real, "rho": constraints.interval(-0.5, 0.5)}
    support = constraints.circular

    def __init__(self, loc, rho, *, validate_args=None):
        self.loc, self.rho = loc, rho
        super().__init__(np.broadcast_shapes(np.shape(loc), np.shape(rho)), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        cdf_inverse = jnp.interp(jax.random.uniform(key, self.shape(sample_shape)), *self._table())
        return (cdf_inverse + self.loc + np.pi) % (2 * np.pi) - np.pi

    def _table(self):
        grid = np.linspace(-np.pi, np.pi, 4001)
        return (grid + 2 * float(self.rho) * np.sin(grid)) / (2 * np.pi) + 0.5, grid

    def log_prob(self, value):
        return jnp.log1p(2 * self.rho * jnp.cos(value - self.loc)) - np.log(2 * np.pi)


class Projected(dist.Distribution):
    """The direction of a normal vector of unit variance about ``concentration``."""

    arg_constraints = {"concentration": constraints.real_vector}
    support = constraints.sphere

    def __init__(self, concentration, *, validate_args=None):
        self.concentration = concentration
        shape = np.shape(concentration)
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)


def sites_of(fn, *args, **kwargs):
    return handlers.trace(handlers.seed(fn, rng_seed=0)).get_trace(*args, **kwargs)


def statement(fn, plates=()):
    def model():
        with numpyro.plate_stack("p", plates):
            return numpyro.sample("x", fn)

    return model


def reparametrized(strategy, fn, plates=()):
    return handlers.reparam(statement(fn, plates), config={"x": strategy})


def log_density(model, values):
    sites = handlers.trace(handlers.substitute(handlers.seed(model, rng_seed=0), data=values)).get_trace()
    log_probs = (site["fn"].log_prob(site["value"]).sum() for site in sites.values() if site["type"] == "sample")
    return sum(log_probs), {name: site["value"] for name, site in sites.items()}


def check_density(strategy, fn, auxiliary, plates=(), coordinates=lambda x: x):
    model = reparametrized(strategy, fn, plates)
    z = sites_of(model)[auxiliary]["value"]

    def forward(flat):
        log_prob, values = log_density(model, {auxiliary: flat.reshape(z.shape)})
        return coordinates(values["x"]).ravel(), (log_prob, values["x"])

    jacobian, (log_prob, x) = jax.jit(jax.jacfwd(forward, has_aux=True))(z.ravel())
    original = sites_of(statement(fn, plates))["x"]["fn"]
    assert x.shape == original.shape()
    assert original.support(x).all()
    expected = original.log_prob(x).sum() + np.linalg.slogdet(np.asarray(jacobian))[1]
    np.testing.assert_allclose(log_prob, expected, rtol=2e-4, atol=2e-5)
    return sites_of(model)


STUDENT = dist.StudentT(3.0, np.array([1.0, -2.0]), np.array([0.5, 2.0]))
SCALED = dist.TransformedDistribution(dist.Normal(0.0, 1.0), transforms.AffineTransform(1.0, np.array([2.0, 3.0])))
CHOLESKY = transforms.LowerCholeskyAffine(np.ones(2, np.float32), np.array([[1.0, 0.0], [0.5, 2.0]], np.float32))
EXP = transforms.ExpTransform()


@pytest.mark.parametrize(
    ("strategy", "fn", "plates"),
    [
        (LocScaleReparam(0), dist.Normal(1, 2), ()),
        (LocScaleReparam(0.0), dist.Normal(1.0, np.array([2.0, 3.0])), ()),
        (LocScaleReparam(0.3), dist.Cauchy(1.0, 2.0), (3,)),
        (LocScaleReparam(np.array([0.2, 0.9])), dist.Normal(np.ones((3, 2)), 2.0).to_event(1), (3,)),
        (LocScaleReparam(0, shape_params=["df"]), STUDENT, (2, 2)),
        (LocScaleReparam(0.7), dist.Normal(np.zeros(2), 3.0).to_event(1).expand([3]), ()),
        (LocScaleReparam(), dist.Normal(np.ones((3, 2)), 2.0).to_event(1), ()),
        (LocScaleReparam(shape_params=("df",)), STUDENT, ()),
    ],
)
def test_loc_scale(strategy, fn, plates):
    sites = check_density(strategy, fn, "x_decentered", plates)
    assert ("x_centered" in sites) == (strategy.centered is None)


@pytest.mark.parametrize(
    ("strategy", "fn", "auxiliary", "plates"),
    [
        (TransformReparam(), dist.LogNormal(1.0, 0.5), "x_base", (3,)),
        (TransformReparam(), SCALED.to_event(1), "x_base", (3,)),
        (TransformReparam(), SCALED.to_event(1).expand([2]), "x_base", ()),
        (TransformReparam(), dist.TransformedDistribution(STUDENT.to_event(1), CHOLESKY), "x_base", (3,)),
        (TransformReparam(), dist.TransformedDistribution(dist.LogNormal(0.0, 1.0), [EXP]), "x_base", ()),
        (ExplicitReparam(EXP.inv), dist.Gamma(2.0, 3.0), "x_base", (2,)),
        (ExplicitReparam([EXP.inv, transforms.AffineTransform(1.0, 2.0)]), dist.Gamma(2.0, 3.0), "x_base", ()),
        (ExplicitReparam(CHOLESKY.inv), STUDENT.to_event(1), "x_base", (3,)),
        (CircularReparam(), Cardioid(1.0, 0.4), "x_unwrapped", (3,)),
        (DiscreteCosineReparam(), dist.Normal(np.zeros(4), 2.0).to_event(1), "x_dct", (2,)),
        (DiscreteCosineReparam(smooth=1.0), dist.Cauchy(np.zeros(5), 2.0), "x_dct", ()),
        (DiscreteCosineReparam(dim=-2), dist.LogNormal(np.zeros((3, 2)), 0.5).to_event(1), "x_dct", ()),
        (HaarReparam(), dist.StudentT(3.0, np.zeros(5), 2.0).to_event(1), "x_haar", ()),
        (HaarReparam(dim=-2, flip=True), dist.Normal(np.zeros((4, 2)), 2.0).to_event(2), "x_haar", (2,)),
        (
            UnitJacobianReparam(transforms.PermuteTransform(np.array([1, 2, 0]))),
            dist.Cauchy(np.arange(3.0), 2.0).to_event(1),
            "x_transformed",
            (),
        ),
        (
            UnitJacobianReparam(transforms.PermuteTransform(np.array([1, 0])), suffix="swapped"),
            dist.Exponential(np.array([1.0, 2.0])).to_event(1),
            "x_swapped",
            (),
        ),
    ],
)
def test_changes_of_variables(strategy, fn, auxiliary, plates):
    sites = check_density(strategy, fn, auxiliary, plates)
    assert isinstance(strategy, Reparam)
    assert sites["x"]["type"] == "deterministic"


def test_a_support_within_a_hyperplane():
    """The density of a simplex is in its first coordinates."""
    check_density(HaarReparam(), dist.Dirichlet(np.array([1.0, 2.0, 3.0])), "x_haar", (), lambda x: x[..., :-1])


@pytest.mark.parametrize(
    ("strategy", "fn", "auxiliary"),
    [
        (LocScaleReparam(0), dist.Normal(np.ones(3), 2.0), "x_decentered"),
        (TransformReparam(), dist.LogNormal(np.ones(3), 2.0), "x_base"),
        (ExplicitReparam(EXP.inv), dist.Gamma(np.ones(3), 2.0), "x_base"),
    ],
)
def test_masks_leave_terms_out_with_their_jacobians(strategy, fn, auxiliary):
    mask = np.array([True, False, True])
    masked = sites_of(reparametrized(strategy, fn.mask(mask)))[auxiliary]
    plain = sites_of(reparametrized(strategy, fn))[auxiliary]
    log_prob = plain["fn"].log_prob(plain["value"])
    np.testing.assert_allclose(masked["fn"].log_prob(plain["value"]), np.where(mask, log_prob, 0.0), rtol=1e-6)


def test_a_centered_variable_stays_as_it_is():
    for centered in (1, 1.0):
        sites = sites_of(reparametrized(LocScaleReparam(centered), dist.Normal(1.0, 2.0)))
        assert list(sites) == ["x"]
        assert sites["x"]["type"] == "sample"


def test_a_learned_centeredness_is_a_param_within_zero_and_one():
    fn = dist.Normal(np.ones((3, 2)), 2.0).to_event(1)
    param = sites_of(reparametrized(LocScaleReparam(), fn))["x_centered"]
    assert param["kwargs"] == {"constraint": constraints.unit_interval}
    np.testing.assert_array_equal(param["value"], [0.5, 0.5])
    model = reparametrized(LocScaleReparam(), fn)
    for centered in (0.0, 0.25, 1.0):
        z = np.random.default_rng(0).normal(size=(3, 2))
        _, values = log_density(model, {"x_centered": np.full(2, centered), "x_decentered": z})
        np.testing.assert_allclose(values["x"], 1 + 2 ** (1 - centered) * (z - centered), rtol=1e-6)


def test_projected_normal_has_the_mean_direction_of_its_density():
    radius, n = 1.5, 20000
    direction = np.array([0.6, 0.8])
    sites = sites_of(reparametrized(ProjectedNormalReparam(), Projected(radius * direction).expand([n])))
    x = np.asarray(sites["x"]["value"])
    np.testing.assert_allclose((x**2).sum(-1), 1.0, rtol=1e-5)
    # in the plane: E cos = r sqrt(pi / 8) (I0(r^2 / 4) + I1(r^2 / 4)) exp(-r^2 / 4); the bound is four standard errors
    expected = radius * np.sqrt(np.pi / 8) * (special.ive(0, radius**2 / 4) + special.ive(1, radius**2 / 4))
    cosines = x @ direction
    assert abs(cosines.mean() - expected) < 4 * cosines.std() / np.sqrt(n)
    normal = sites["x_normal"]["fn"]
    assert normal.event_shape == (2,)
    zeros = np.zeros((n, 2))
    np.testing.assert_allclose(normal.log_prob(zeros), dist.Normal(0, 1).log_prob(zeros).sum(-1), rtol=1e-6)


def test_projected_normal_in_plates_and_at_the_origin():
    fn = Projected(np.ones((2, 3), np.float32))
    sites = sites_of(reparametrized(ProjectedNormalReparam(), fn.to_event(1), (4,)))
    assert sites["x_normal"]["value"].shape == sites["x"]["value"].shape == (4, 2, 3)
    model = reparametrized(ProjectedNormalReparam(), Projected(np.zeros(3, np.float32)))

    def x(z):
        return log_density(model, {"x_normal": z})[1]["x"]

    np.testing.assert_array_equal(x(jnp.zeros(3)), [1.0, 0.0, 0.0])
    assert np.isfinite(jax.jacfwd(x)(jnp.zeros(3))).all()
    assert np.isfinite(jax.jacrev(x)(jnp.zeros(3))).all()


def test_circular_draws_are_those_of_the_angle():
    n, rho = 20000, 0.4
    x = np.asarray(sites_of(reparametrized(CircularReparam(), Cardioid(1.0, rho).expand([n])))["x"]["value"])
    assert (np.abs(x) <= np.pi).all()
    # E cos(x - loc) = rho; the bound is four standard errors
    cosines = np.cos(x - 1.0)
    assert abs(cosines.mean() - rho) < 4 * cosines.std() / np.sqrt(n)


STRATEGIES = {
    "LocScaleReparam": LocScaleReparam(0),
    "TransformReparam": TransformReparam(),
    "ExplicitReparam": ExplicitReparam(EXP),
    "CircularReparam": CircularReparam(),
    "ProjectedNormalReparam": ProjectedNormalReparam(),
    "DiscreteCosineReparam": DiscreteCosineReparam(),
    "HaarReparam": HaarReparam(),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_observed_variables_are_refused(name):
    def model():
        numpyro.sample("x", dist.Normal(np.zeros(2), 1.0), obs=np.zeros(2))

    with pytest.raises(UsageError, match=f"{name} does not support observe statements, but the site 'x'"):
        sites_of(handlers.reparam(model, config={"x": STRATEGIES[name]}))


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_pickle(name):
    assert type(pickle.loads(pickle.dumps(STRATEGIES[name]))) is type(STRATEGIES[name])


@pytest.mark.parametrize(
    ("strategy", "fn", "match"),
    [
        (LocScaleReparam(0), dist.Gamma(1.0, 2.0), "real support, but got .* at site x"),
        (LocScaleReparam(0), STUDENT, r"StudentT at site x has the parameters \['df'\].*shape_params=\['df'\]"),
        (LocScaleReparam(0, shape_params=["df"]), dist.Normal(0, 1), r"shape_params=\[\]"),
        (LocScaleReparam(0), dist.ImproperUniform(constraints.real, (), ()), "real support|parameters loc and scale"),
        (TransformReparam(), dist.Normal(0, 1), "does not automatically work with Normal distribution"),
        (CircularReparam(), dist.Normal(0, 1), "circle.*'x' has Normal"),
        (ProjectedNormalReparam(), dist.Normal(0, 1), "ProjectedNormal.*'x' has Normal"),
        (HaarReparam(), dist.Normal(0, 1), r"at least 1 dimensions, where the draws have shape \(\)"),
    ],
)
def test_distributions_that_a_strategy_is_not_for(strategy, fn, match):
    with pytest.raises(ValueError, match=match):
        sites_of(reparametrized(strategy, fn))


def test_wrong_options():
    for centered in (-0.1, 1.1, np.array([0.5, 2.0])):
        with pytest.raises(ValueError, match="0 <= centered <= 1"):
            LocScaleReparam(centered)
    with pytest.raises(TypeError, match="shape_params"):
        LocScaleReparam(0, shape_params="df")
    with pytest.raises(ValueError, match="must be a Transform"):
        ExplicitReparam(lambda x: x)
    for strategy in (DiscreteCosineReparam, HaarReparam):
        with pytest.raises(UsageError, match=f"dim of {strategy.__name__} must be a negative integer"):
            strategy(dim=0)


# NeuTra


class Guide:
    """A continuous guide in its documented protocol, with a transform of changing volume."""

    prefix = "auto"
    latent_dim = 5

    def __init__(self, model):
        self.prototype_trace = sites_of(model, np.zeros(3))
        self.model = model

    def get_base_dist(self):
        return dist.Normal(0.0, 1.0).expand([self.latent_dim]).to_event(1)

    def get_transform(self, params):
        bend = transforms.ComposeTransform([transforms.SoftplusTransform(), EXP.inv])
        affine = transforms.LowerCholeskyAffine(params["loc"], params["scale_tril"])
        return transforms.ComposeTransform([transforms.IndependentTransform(bend, 1), affine])

    def _unpack_latent(self, flat):
        return {"a": flat[..., :3], "s": flat[..., 3:]}

    def _unpack_and_constrain(self, flat, params):
        latent = self._unpack_latent(flat)
        return {"a": latent["a"], "s": jnp.exp(latent["s"]), "twice": 2 * latent["a"]}


def hierarchy(y):
    with numpyro.plate("rows", 3):
        a = numpyro.sample("a", dist.Normal(0, 2))
        numpyro.deterministic("twice", 2 * a)
    s = numpyro.sample("s", dist.HalfNormal(np.ones(2)).to_event(1))
    with numpyro.plate("rows", 3):
        numpyro.sample("y", dist.Normal(a, s.sum()), obs=y)


def neutra():
    rng = np.random.default_rng(0)
    scale_tril = np.tril(rng.normal(size=(5, 5))) * 0.3 + 2 * np.eye(5)
    params = {"loc": rng.normal(size=5).astype(np.float32), "scale_tril": scale_tril.astype(np.float32)}
    return NeuTraReparam(Guide(hierarchy), params)


def test_neutra_keeps_the_joint_density():
    strategy, y = neutra(), np.array([1.0, 0.0, -1.0])
    z = np.random.default_rng(1).normal(size=5).astype(np.float32)

    def latents(z):
        log_prob, values = log_density(lambda: strategy.reparam(hierarchy)(y), {"auto_shared_latent": z})
        return jnp.concatenate([values["a"], values["s"]]), (log_prob, values)

    jacobian, (log_prob, values) = jax.jit(jax.jacfwd(latents, has_aux=True))(z)
    original, _ = log_density(lambda: hierarchy(y), {name: values[name] for name in ("a", "s")})
    np.testing.assert_allclose(log_prob, original + np.linalg.slogdet(np.asarray(jacobian))[1], rtol=1e-5)
    for name, value in strategy.transform_sample(z).items():
        np.testing.assert_allclose(value, values[name], rtol=1e-5)
    assert strategy.transform_sample(np.stack([z, z]))["s"].shape == (2, 2)


def test_neutra_sites():
    sites = sites_of(neutra().reparam()(hierarchy), np.zeros(3))
    assert sites["auto_shared_latent"]["value"].shape == (5,)
    assert sites["auto_shared_latent"]["cond_indep_stack"] == []
    assert sites["auto_shared_latent"]["fn"].log_prob(np.ones(5)) == 0
    assert sites["a"]["type"] == sites["s"]["type"] == "deterministic"
    assert sites["a"]["value"].shape == (3,)
    assert sites["_a_log_prob"]["fn"].log_prob(sites["_a_log_prob"]["value"]).shape == (3,)
    assert sites["y"]["is_observed"]
    masked = sites_of(handlers.mask(neutra().reparam(hierarchy), mask=False), np.zeros(3))
    assert "_a_log_prob" not in masked


def test_neutra_forgets_a_run_that_failed_and_serves_threads():
    strategy = neutra()
    model = strategy.reparam(hierarchy)

    @jax.jit
    def fails(y):
        with handlers.seed(rng_seed=1), handlers.block(hide_fn=lambda site: 1 / (site.get("name") != "s")):
            model(y)

    with pytest.raises(ZeroDivisionError):
        fails(np.zeros(3))
    expected = sites_of(model, np.zeros(3))
    for copy in (strategy, pickle.loads(pickle.dumps(strategy))):
        found = {}

        def run(n, found=found, copy=copy):
            found[n] = sites_of(copy.reparam(hierarchy), np.zeros(3))

        threads = [threading.Thread(target=run, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for sites in found.values():
            np.testing.assert_array_equal(sites["s"]["value"], expected["s"]["value"])


def test_neutra_mistakes():
    with pytest.raises(TypeError, match="expected an AutoContinuous guide, but got .*function"):
        NeuTraReparam(hierarchy, {})
    strategy = neutra()
    with pytest.raises(UsageError, match="'other' is not among the latent sites of the guide"):
        sites_of(handlers.reparam(lambda: numpyro.sample("other", dist.Normal(0, 1)), config={"other": strategy}))
    with pytest.raises(UsageError, match="NeuTraReparam does not support observe statements"):
        sites_of(handlers.reparam(hierarchy, config={"y": strategy}), np.zeros(3))
    strategy.guide.prototype_trace = None
    with pytest.raises(UsageError, match="fit it first"):
        strategy.reparam(hierarchy)

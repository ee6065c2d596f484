"""Diagnostics against ArviZ, closed forms for autoregressive chains, and brute force."""

from __future__ import annotations

import math

import arviz
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from numpyro._errors import UsageError
from numpyro.diagnostics import (
    autocorrelation,
    autocovariance,
    bulk_effective_sample_size,
    effective_sample_size,
    gelman_rubin,
    hpdi,
    mcse_mean,
    mcse_quantile,
    mcse_sd,
    print_summary,
    rank_normalized_r_hat,
    split_gelman_rubin,
    summary,
    tail_effective_sample_size,
)


def autoregressive(phi, shape, seed=0):
    """Stationary chains ``x[t] = phi x[t-1] + sqrt(1 - phi^2) e[t]``, of unit variance, along axis 1."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=shape)
    x = noise.copy()
    for t in range(1, shape[1]):
        x[:, t] = phi * x[:, t - 1] + math.sqrt(1 - phi**2) * noise[:, t]
    return x


CHAINS = {
    "independent": autoregressive(0.0, (4, 500)),
    "positive": autoregressive(0.8, (4, 500)),
    "antithetic": autoregressive(-0.4, (4, 500)),
    "odd": autoregressive(0.5, (3, 501)),
    "short": autoregressive(0.5, (2, 11)),
    "one chain": autoregressive(0.5, (1, 400)),
    "drifting": autoregressive(0.5, (4, 200)) + np.linspace(0, 3, 200),
    "apart": autoregressive(0.0, (4, 200)) + np.arange(4)[:, None],
    "heavy tails": np.random.default_rng(1).standard_cauchy(size=(4, 300)),
    "ties": np.random.default_rng(2).integers(0, 3, size=(4, 300)),
}
by_chain = pytest.mark.parametrize("x", list(CHAINS.values()), ids=list(CHAINS))


# Autocovariance


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 33, 100])
@pytest.mark.parametrize("bias", [True, False])
def test_autocovariance_is_the_sum_over_pairs(n, bias):
    x = np.random.default_rng(n).normal(size=n) + 5.0
    centered = x - x.mean()
    expected = [centered[: n - t] @ centered[t:] / (n if bias else n - t) for t in range(n)]
    np.testing.assert_allclose(autocovariance(x, bias=bias), expected, atol=1e-12)
    np.testing.assert_allclose(autocorrelation(x, bias=bias), expected / x.var() if n > 1 else np.nan, atol=1e-12)


def test_autocovariance_works_along_any_axis():
    x = np.random.default_rng(0).normal(size=(3, 20, 2))
    for axis in (1, -2):
        result = autocorrelation(x, axis=axis)
        assert result.shape == x.shape
        np.testing.assert_allclose(result[1, :, 1], autocorrelation(x[1, :, 1]), atol=1e-14)


def test_autocorrelation_of_an_autoregressive_chain():
    phi, n = 0.7, 200_000
    # The standard error of a correlation at these lags is below sqrt((1 + phi^2) / (1 - phi^2) / n) = 0.004 (Bartlett).
    np.testing.assert_allclose(
        autocorrelation(autoregressive(phi, (1, n))[0])[:10], phi ** np.arange(10), atol=4 * 0.004
    )


def test_autocorrelation_of_constants_and_of_nan_is_nan():
    assert np.isnan(autocorrelation(np.full(7, 0.1))).all()
    assert (autocovariance(np.full(7, 0.1)) == 0).all()
    assert np.isnan(autocorrelation([1.0, np.nan, 2.0])).all()


# Effective sample size


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.5, 0.9])
def test_effective_sample_size_of_an_autoregressive_chain(phi):
    x = autoregressive(phi, (4, 50_000))
    # Truncation and noise leave an error of a few percent: the tolerance is that of many seeds, not of this one.
    assert effective_sample_size(x) / x.size == pytest.approx((1 - phi) / (1 + phi), rel=0.06)
    assert effective_sample_size(x, bias=False) == pytest.approx(effective_sample_size(x), rel=0.02)


def test_effective_sample_size_agrees_with_arviz_on_split_chains():
    """ArviZ splits chains and adds the even lag behind the last pair; what is left of the difference is that lag."""
    for name in ("independent", "positive", "antithetic", "odd"):
        x = CHAINS[name]
        half = x.shape[1] // 2
        split = np.concatenate([x[:, :half], x[:, -half:]])
        tau, expected = x.size / effective_sample_size(split), x.size / arviz.ess(x, method="mean")
        assert tau == pytest.approx(expected, rel=0.03, abs=0.05), name


@by_chain
def test_bulk_and_tail_effective_sample_size_equal_those_of_arviz(x):
    assert bulk_effective_sample_size(x) == pytest.approx(arviz.ess(x, method="bulk"), rel=1e-8)
    assert tail_effective_sample_size(x) == pytest.approx(arviz.ess(x, method="tail"), rel=1e-8)


def test_effective_sample_size_is_bounded_for_negatively_correlated_draws():
    x = np.tile([1.0, -1.0], (2, 10)) + 1e-3 * np.random.default_rng(0).normal(size=(2, 20))
    assert effective_sample_size(x) == pytest.approx(40 * math.log10(40))


def test_a_single_chain_uses_its_own_autocorrelations():
    x = CHAINS["one chain"]
    rho = autocorrelation(x[0])
    pairs = rho[0::2] + rho[1::2]
    end = np.argmax(pairs <= 0)
    expected = x.size / (-1 + 2 * np.minimum.accumulate(pairs[:end]).sum())
    assert effective_sample_size(x) == pytest.approx(expected)


# R-hat


def test_gelman_rubin_is_its_formula():
    x = CHAINS["apart"]
    n = x.shape[1]
    within, between = x.var(axis=1, ddof=1).mean(), n * x.mean(axis=1).var(ddof=1)
    assert gelman_rubin(x) == pytest.approx(math.sqrt(((n - 1) / n * within + between / n) / within))


@by_chain
def test_split_and_rank_normalised_r_hat_equal_those_of_arviz(x):
    if len(x) == 1:  # which ArviZ does not take
        halves = x.reshape(2, -1)
        assert split_gelman_rubin(x) == gelman_rubin(halves)
    else:
        assert split_gelman_rubin(x) == pytest.approx(arviz.rhat(x, method="split"), rel=1e-10)
        assert rank_normalized_r_hat(x) == pytest.approx(arviz.rhat(x, method="rank"), rel=1e-10)
        assert gelman_rubin(x) == pytest.approx(arviz.rhat(x, method="identity"), rel=1e-10)


def test_r_hat_sees_what_it_is_meant_to_see():
    assert gelman_rubin(CHAINS["independent"]) < 1.01
    assert gelman_rubin(CHAINS["drifting"]) < 1.05 < split_gelman_rubin(CHAINS["drifting"])
    scaled = CHAINS["independent"] * np.array([1.0, 1.0, 1.0, 3.0])[:, None]
    assert split_gelman_rubin(scaled) < 1.01 < rank_normalized_r_hat(scaled)


def test_rank_normalised_diagnostics_do_not_depend_on_the_scale_of_the_draws():
    x = CHAINS["positive"]
    assert bulk_effective_sample_size(np.exp(5 * x)) == bulk_effective_sample_size(x)
    assert tail_effective_sample_size(np.exp(5 * x)) == tail_effective_sample_size(x)


# Both


ALL = [
    effective_sample_size,
    bulk_effective_sample_size,
    tail_effective_sample_size,
    gelman_rubin,
    split_gelman_rubin,
    rank_normalized_r_hat,
    mcse_mean,
    mcse_sd,
    lambda x: mcse_quantile(x, 0.3),
]
NAMES = [getattr(f, "__name__", "") for f in ALL[:-1]] + ["mcse_quantile"]
by_function = pytest.mark.parametrize("function", ALL, ids=NAMES)


@by_function
def test_parameters_are_treated_one_by_one(function):
    x = np.stack([CHAINS[name] for name in ("independent", "positive", "antithetic")], axis=-1)
    x = np.stack([x, np.exp(x)], axis=-1)
    result = function(x)
    assert result.shape == (3, 2)
    for i in np.ndindex(3, 2):
        assert result[i] == pytest.approx(function(x[(..., *i)]), rel=1e-12)


@by_function
def test_many_parameters_are_worked_on_in_blocks(function):
    x = np.random.default_rng(0).normal(size=(2, 4000, 40))
    assert x[..., 0].size * 40 > 2**17
    np.testing.assert_allclose(function(x)[[0, 17, 39]], function(x[..., [0, 17, 39]]), rtol=1e-12)


@by_function
def test_draws_of_zero_parameters_give_zero_results(function):
    assert function(np.zeros((2, 10, 0, 3))).shape == (0, 3)


@by_function
@pytest.mark.parametrize("bad", ["constant", "nan"])
def test_constant_and_nan_draws_give_nan_and_leave_their_neighbours_alone(function, bad):
    x = np.random.default_rng(0).normal(size=(2, 50, 3))
    clean = function(x)
    if bad == "nan":
        x[1, 7, 1] = np.nan
    else:
        x[..., 1] = 0.1  # not a binary fraction: sums of it are rounded
    result = function(x)
    assert np.isnan(result[1]) and not np.isnan(clean).any()
    np.testing.assert_array_equal(result[[0, 2]], clean[[0, 2]])


@by_function
def test_arrays_of_jax_and_other_types_are_accepted(function):
    x = np.round(10 * CHAINS["positive"][:, :100]).astype(np.int32)
    expected = function(x)
    assert isinstance(expected, np.floating)
    for same in (jnp.asarray(x), x.astype(np.float32), x.tolist(), jnp.asarray(x, jnp.bfloat16)):
        assert function(same) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(function(x > 0))


@by_function
def test_too_few_draws_dimensions_or_chains_are_errors(function):
    x = np.random.default_rng(0).normal(size=(2, 10))
    for bad in (x[0], x[:, :1], x[:, :0], x[:0], np.float64(1.0)):
        with pytest.raises(UsageError, match="expects draws of shape|needs at least"):
            function(bad)
    for bad in (x.astype(str), 1j * x, jax.random.split(jax.random.key(0), (2, 10))):
        with pytest.raises(TypeError, match="numbers"):
            function(bad)


def test_gelman_rubin_needs_two_chains_and_splitting_four_draws():
    with pytest.raises(UsageError, match=r"gelman_rubin needs at least 2 chains, got 1 \(shape \(1, 10\)\)"):
        gelman_rubin(np.zeros((1, 10)))
    with pytest.raises(UsageError, match="split_gelman_rubin needs at least 4 draws a chain, got 3"):
        split_gelman_rubin(np.zeros((2, 3)))


def test_chains_stuck_at_different_places_have_infinite_r_hat():
    x = np.repeat([[0.1], [0.7]], 10, axis=1)
    assert gelman_rubin(x) == split_gelman_rubin(x) == np.inf


def test_r_hat_of_single_precision_draws_is_in_single_precision():
    x = CHAINS["positive"].astype(np.float32)
    assert split_gelman_rubin(x).dtype == gelman_rubin(x).dtype == np.float32
    assert effective_sample_size(x).dtype == np.float64


def test_a_large_mean_does_not_spoil_the_result():
    x = CHAINS["positive"]
    assert effective_sample_size(x + 1e8) == pytest.approx(effective_sample_size(x), rel=1e-6)
    assert split_gelman_rubin(x + 1e8) == pytest.approx(split_gelman_rubin(x), rel=1e-6)


# Standard errors


def test_mcse_mean_is_the_spread_of_means_over_many_runs():
    means, errors = zip(*[(x.mean(), mcse_mean(x)) for x in (autoregressive(0.6, (2, 500), i) for i in range(300))])
    # The standard deviation of 300 means is known to 1 / sqrt(600) = 4 %, the average error better than that.
    assert np.std(means) == pytest.approx(np.mean(errors), rel=4 * 0.04)


@by_chain
def test_mcse_mean_equals_that_of_arviz(x):
    assert mcse_mean(x) == pytest.approx(arviz.mcse(x, method="mean"), rel=1e-8)


def test_mcse_sd_of_independent_normal_draws():
    x = np.random.default_rng(0).normal(size=(4, 25_000), scale=3.0)
    assert mcse_sd(x) == pytest.approx(3.0 / math.sqrt(2 * x.size), rel=0.05)


@pytest.mark.parametrize("prob", [0.05, 0.5, 0.9])
def test_mcse_quantile_of_independent_normal_draws(prob):
    x = np.random.default_rng(0).normal(size=(4, 25_000))
    density = scipy.stats.norm.pdf(scipy.stats.norm.ppf(prob))
    assert mcse_quantile(x, prob) == pytest.approx(math.sqrt(prob * (1 - prob) / x.size) / density, rel=0.1)
    with pytest.raises(UsageError, match="prob between 0 and 1, got 1.5"):
        mcse_quantile(x, 1.5)


# Intervals


@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9, 0.99])
def test_hpdi_is_the_narrowest_interval_with_its_share(prob):
    x = np.random.default_rng(3).gamma(2.0, size=57)
    low, high = hpdi(x, prob)
    assert low in x and high in x
    assert np.mean((x >= low) & (x <= high)) >= prob
    widths = [b - a for a in x for b in x if b >= a and ((x >= a) & (x <= b)).sum() > int(prob * x.size)]
    assert high - low == pytest.approx(min(widths))


def test_hpdi_agrees_with_arviz_and_with_the_exponential_distribution():
    x = np.random.default_rng(0).exponential(size=100_000)
    np.testing.assert_allclose(hpdi(x, 0.8), arviz.hdi(x, 0.8))
    np.testing.assert_allclose(hpdi(x, 0.8), [0.0, -math.log(0.2)], atol=0.03)


def test_hpdi_keeps_axes_types_and_order():
    x = np.random.default_rng(0).normal(size=(3, 50, 2)).astype(np.float32)
    result = hpdi(x, 0.5, axis=1)
    assert result.shape == (3, 2, 2) and result.dtype == np.float32
    np.testing.assert_array_equal(result[1, :, 1], hpdi(x[1, :, 1], 0.5))
    np.testing.assert_array_equal(hpdi(np.arange(20, dtype=np.uint8)[::-1], 0.5), [0, 10])
    np.testing.assert_array_equal(hpdi(np.array([True, False] * 4)), [0, 1])
    np.testing.assert_array_equal(hpdi([3.0, 1.0, 2.0], 1.0), [1.0, 3.0])
    assert np.isnan(hpdi([0.0, np.nan, 1.0])).all()


def test_hpdi_of_bad_input_is_an_error():
    for prob in (-0.1, 1.1, math.nan):
        with pytest.raises(UsageError, match="between 0 and 1"):
            hpdi(np.arange(5), prob)
    with pytest.raises(UsageError, match="at least one draw"):
        hpdi(np.zeros((0, 2)))


# Summaries


def test_summary_puts_the_diagnostics_together():
    x = CHAINS["positive"]
    table = summary({"z": x, "a": np.stack([x, -x], axis=-1)}, prob=0.8)
    assert list(table) == ["z", "a"]
    assert list(table["z"]) == ["mean", "std", "median", "10.0%", "90.0%", "n_eff", "r_hat"]
    expected = {
        "mean": x.mean(),
        "std": x.std(ddof=1),
        "median": np.median(x),
        "10.0%": hpdi(x.ravel(), 0.8)[0],
        "90.0%": hpdi(x.ravel(), 0.8)[1],
        "n_eff": effective_sample_size(x),
        "r_hat": split_gelman_rubin(x),
    }
    assert table["z"] == pytest.approx(expected)
    assert {key: value.shape for key, value in table["a"].items()} == dict.fromkeys(expected, (2,))
    np.testing.assert_allclose(table["a"]["mean"], [x.mean(), -x.mean()])


def test_summary_agrees_with_arviz():
    x = {"u": CHAINS["positive"], "v": np.stack([CHAINS["independent"], CHAINS["antithetic"]], axis=-1)}
    ours = summary(x)
    theirs = arviz.summary(arviz.from_dict(posterior=x), hdi_prob=0.9, round_to="none")
    np.testing.assert_allclose(ours["u"]["mean"], theirs.loc["u", "mean"])
    np.testing.assert_allclose(ours["u"]["std"], theirs.loc["u", "sd"], rtol=1e-3)
    np.testing.assert_allclose(ours["v"]["5.0%"], theirs.loc[["v[0]", "v[1]"], "hdi_5%"])
    np.testing.assert_allclose(ours["v"]["r_hat"], theirs.loc[["v[0]", "v[1]"], "r_hat"], atol=0.01)


def test_summary_without_chains_takes_draws_as_one_chain():
    x = CHAINS["positive"][0]
    assert summary({"x": x}, group_by_chain=False) == summary({"x": x[None]})


def test_summary_of_any_pytree():
    x = CHAINS["positive"]
    assert list(summary(x)) == ["Param:0"]
    assert list(summary([x, (x,)])) == ["Param:0", "Param:1"]
    assert list(summary({"net": {"w": x, "b": x}, "pair": (x, x)})) == ["net.w", "net.b", "pair[0]", "pair[1]"]
    assert summary({}) == {}


def test_summary_of_integers_and_booleans():
    k = CHAINS["ties"]
    table = summary({"k": k, "b": k > 0})
    assert table["k"]["5.0%"] == 0 and table["k"]["95.0%"] == 2
    assert table["b"]["mean"] == (k > 0).mean()
    assert table["b"]["median"] == 1.0


def test_summary_keeps_single_precision():
    table = summary({"x": jnp.asarray(CHAINS["positive"], jnp.float32)})["x"]
    assert {key: value.dtype for key, value in table.items() if key != "n_eff"} == dict.fromkeys(
        ["mean", "std", "median", "5.0%", "95.0%", "r_hat"], np.float32
    )


def test_summary_names_the_site_of_bad_draws():
    x = CHAINS["positive"]
    with pytest.raises(UsageError, match=r"cannot summarise 'b': .*group_by_chain=False"):
        summary({"a": x, "b": x[0]})
    with pytest.raises(UsageError, match="cannot summarise 'b': split_gelman_rubin needs at least 4 draws a chain"):
        summary({"a": x, "b": x[:, :3]})
    with pytest.raises(TypeError, match="cannot summarise 'b'.*<U"):
        summary({"a": x, "b": x.astype(str)})


def test_print_summary_is_a_table(capsys):
    x = np.tile(np.array([-1.0, 0.0, 0.0, 1.0]), (2, 25))
    x = np.random.default_rng(0).permuted(x, axis=1)
    print_summary({"mu": x, "theta": np.stack([x, 1000 * x], axis=-1)})
    n_eff, r_hat = effective_sample_size(x), split_gelman_rubin(x)
    tail = f"{n_eff:10.2f}{r_hat:10.2f}"
    assert capsys.readouterr().out.split("\n") == [
        "",
        " " * 10 + "      mean       std    median      5.0%     95.0%     n_eff     r_hat",
        "        mu      0.00      0.71      0.00     -1.00      1.00" + tail,
        "  theta[0]      0.00      0.71      0.00     -1.00      1.00" + tail,
        "  theta[1]      0.00    708.88      0.00  -1000.00   1000.00" + tail,
        "",
        "",
    ]
    print_summary({"a_rather_long_name": x[0]}, prob=0.5, group_by_chain=False)
    lines = capsys.readouterr().out.split("\n")
    assert lines[1].split() == ["mean", "std", "median", "25.0%", "75.0%", "n_eff", "r_hat"]
    assert lines[2].startswith("  a_rather_long_name      0.00")
    print_summary({})
    assert capsys.readouterr().out == ""

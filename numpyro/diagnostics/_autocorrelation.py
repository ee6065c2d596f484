"""Autocovariance and autocorrelation by fast Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyro.diagnostics._chains import as_numbers


def autocovariance(x: Any, axis: int = 0, bias: bool = True) -> np.ndarray:
    r"""Autocovariance of a series at every lag.

    .. math:: \hat\gamma_t = \frac 1 N \sum_{n=1}^{N-t} (x_n - \bar x)(x_{n+t} - \bar x)

    :param x: an array of real numbers.
    :param axis: the axis that numbers the draws, default 0.
    :param bias: whether the sum is divided by the number of draws :math:`N` (default), which makes the estimates a
        positive definite sequence, or by the number of terms :math:`N - t`.
    :return: an array of the shape of ``x``, with lags ``0, ..., N - 1`` along ``axis``.
    """
    x = as_numbers(x, "autocovariance")
    series = np.moveaxis(x, axis, -1).astype(np.float64)
    return np.moveaxis(_unbias(_autocovariance(series), bias), -1, axis).astype(_floating(x.dtype))


def autocorrelation(x: Any, axis: int = 0, bias: bool = True) -> np.ndarray:
    r"""Autocorrelation of a series at every lag, :math:`\hat\gamma_t / \hat\gamma_0`.

    :param x: an array of real numbers.
    :param axis: the axis that numbers the draws, default 0.
    :param bias: how to normalise the autocovariances, as in :func:`autocovariance`.
    :return: an array of the shape of ``x``, with lags ``0, ..., N - 1`` along ``axis``; ``nan`` for a constant series.
    """
    x = as_numbers(x, "autocorrelation")
    covariance = _unbias(_autocovariance(np.moveaxis(x, axis, -1).astype(np.float64)), bias)
    with np.errstate(invalid="ignore"):
        return np.moveaxis(covariance / covariance[..., :1], -1, axis).astype(_floating(x.dtype))


def _floating(dtype: np.dtype) -> np.dtype:
    """The precision of a result, which is computed in double precision: that of the draws."""
    return dtype if np.issubdtype(dtype, np.floating) else np.dtype(np.float64)


def mean_autocovariance(x: np.ndarray) -> np.ndarray:
    """Autocovariance (biased form) of draws ``(parameters, chains, draws)``, averaged over chains.

    The transform is linear, so that the power spectra are averaged and one transform goes back.
    """
    return _inverse(np.mean(_power_spectrum(x), axis=1), x.shape[-1])


def _autocovariance(x: np.ndarray) -> np.ndarray:
    if x.size == 0:
        return x
    covariance = _inverse(_power_spectrum(x), x.shape[-1])
    covariance[np.ptp(x, axis=-1) == 0] = 0.0  # exactly, whatever the rounding of the mean
    return covariance


def _unbias(covariance: np.ndarray, bias: bool) -> np.ndarray:
    if bias:
        return covariance
    num_draws = covariance.shape[-1]
    return covariance * (num_draws / np.arange(num_draws, 0, -1))


def _power_spectrum(x: np.ndarray) -> np.ndarray:
    centered = x - np.mean(x, axis=-1, keepdims=True)
    # Twice the length, the added half zero: no products of the end with the beginning.
    spectrum = np.fft.rfft(centered, _fast_length(2 * x.shape[-1]), axis=-1)
    return spectrum.real**2 + spectrum.imag**2


def _inverse(power: np.ndarray, num_draws: int) -> np.ndarray:
    return np.fft.irfft(power, _fast_length(2 * num_draws), axis=-1)[..., :num_draws] / num_draws


def _fast_length(n: int) -> int:
    """The least even number ``2**a 3**b 5**c`` not below ``n``: transforms of such lengths are fast."""
    best = 1 << max(1, (n - 1).bit_length())
    for five in (5**c for c in range(8)):
        for odd in (five * 3**b for b in range(8)):
            candidate = 2 * odd
            while candidate < n:
                candidate *= 2
            best = min(best, candidate)
    return best

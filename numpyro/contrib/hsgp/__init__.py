"""Gaussian processes of a few inputs in linear time, by a Hilbert space approximation.

On a box :math:`[-L_1, L_1] \\times \\dots` a stationary kernel with spectral density :math:`S` is approximated by the
eigenfunctions :math:`\\phi_j` of the Laplacian that vanish at the edges, with eigenvalues :math:`\\lambda_j`,

.. math::

    k(x, x') \\approx \\sum_{j=1}^{m} S(\\sqrt{\\lambda_j})\\, \\phi_j(x) \\phi_j(x'), \\qquad
    f(x) = \\sum_{j=1}^{m} \\sqrt{S(\\sqrt{\\lambda_j})}\\, \\phi_j(x)\\, \\beta_j, \\quad \\beta_j \\sim N(0, 1),

which costs :math:`O(n m)` instead of :math:`O(n^3)`. The data must lie well inside the box.

In reading order:

1. ``laplacian``: eigenvalues and eigenfunctions;
2. ``bessel``, ``spectral_densities``: the spectral densities of kernels;
3. ``approximation``: functions of a model that draw :math:`f`.

**Reference:** G. Riutort-Mayol, P.-C. Bürkner, M. R. Andersen, A. Solin, A. Vehtari, *Practical Hilbert space
approximate Bayesian Gaussian processes for probabilistic programming* (2022).
"""

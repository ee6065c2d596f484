"""A model as inference sees it.

A model is a function that draws and observes. Inference needs something narrower: which unobserved values it has, where
they live, and one number, the log density of all of them together with the data. This package makes that view, once,
for every algorithm:

1. ``arguments``: a model's arguments, cut into arrays that a program takes at run time and values that shape it;
2. ``density``: the log density of a trace, and the handlers that run a model at a given unconstrained point;
   ``evaluate``: models run with them;
3. ``view``: :class:`ModelView`, the sites of a model with the density and the maps between the unconstrained and the
   constrained values of its latent sites;
4. ``layout``: unconstrained values as one flat vector;
5. ``observations``: data held against the supports of their distributions;
6. ``initial``: a starting point with a finite density, or an error that says which site has none; ``start``: the
   search for one as a compiled program;
7. ``draws``: a function of a model mapped over many draws, in one compiled program.

Let :math:`x` be the latent values, :math:`x = T(z)` with :math:`z` unconstrained and :math:`T` the bijection that
``biject_to`` has for the support of each site. Then

.. math:: \\log \\pi(z) = \\log p(T(z), y) + \\log |\\det T'(z)|

is evaluated in *one* pass over the model: at each latent site the value is read from :math:`z` through the bijection
of the support that the site has at that moment, so the support of a site may depend on the values of others.
"""

from numpyro.infer.model.arguments import Arguments
from numpyro.infer.model.density import check_log_prob_shape, site_log_prob, trace_log_density
from numpyro.infer.model.initial import InitializationError, find_initial, initial_candidate
from numpyro.infer.model.layout import Layout
from numpyro.infer.model.view import ModelView, Site

__all__ = [
    "Arguments",
    "InitializationError",
    "Layout",
    "ModelView",
    "Site",
    "check_log_prob_shape",
    "find_initial",
    "initial_candidate",
    "site_log_prob",
    "trace_log_density",
]

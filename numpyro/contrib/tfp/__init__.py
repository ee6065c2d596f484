"""TensorFlow Probability on JAX, as parts of models and of inference: needs the extra ``numpyro[tfp]``.

- ``mcmc``: its transition kernels as kernels of :class:`~numpyro.infer.MCMC`;
- ``distributions``: its distributions at the sites of a model.
"""

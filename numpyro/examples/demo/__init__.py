"""The program behind ``make demo``: two well-known hierarchies, what their posteriors say, and a picture.

Run it with ``python -m numpyro.examples.demo``. Its parts: :mod:`~numpyro.examples.demo.eight_schools` (centred and
non-centred), :mod:`~numpyro.examples.demo.baseball` (partial pooling, held against the rest of the season), and
:mod:`~numpyro.examples.demo.picture`, which alone needs matplotlib.
"""

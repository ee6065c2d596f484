"""Small tools that every room uses; ``numpyro.util`` is their public face.

Reading order: ``misc`` (keys, attribute paths, caches), ``control_flow`` (loops that can be run in plain Python),
``platform`` (devices, precision, seeds), ``progress`` (progress bars inside compiled loops), ``collect`` (loops that
keep their history), ``soft_vmap`` (vectorisation in chunks), ``shapes`` (tables of traces and checks of guides).
"""

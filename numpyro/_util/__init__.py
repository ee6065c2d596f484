"""Small tools that every room uses; ``numpyro.util`` is their public face.

Reading order: ``misc`` (keys, attribute paths), ``control_flow`` (loops that can be run in plain Python), ``cache``
(closures made once), ``stack`` (where a warning belongs), ``platform`` (devices, precision, seeds), ``progress`` (bars
moved from compiled loops), ``collect`` (a loop that keeps its history), ``vectorize`` (vmap in chunks), ``shapes``
(tables of traces and the check of a guide).
"""

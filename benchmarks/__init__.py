"""Opt-in benchmarks, see README.md in this folder."""

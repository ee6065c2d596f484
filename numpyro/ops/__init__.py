"""Numerical building blocks that know nothing of probability: linear algebra, special functions, pytrees, indexing."""

"""Data sets of well-known examples, and the demo that fits two of them."""

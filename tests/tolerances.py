"""How far two numbers may differ in a test, each with its reason; nowhere else."""

PARITY_FLOAT32 = 1e-5
"""Relative RMS between two implementations of an operator in float32.

Both sum the same few dozen products in another order: some ten roundings of 6e-8 each,
and a gradient adds the contributions of up to a few thousand points to one row.
"""

PARITY_FLOAT64 = 1e-12
"""Largest difference over largest value, between two implementations in float64.

The same sums as above with roundings of 1e-16. A wrong formula shows long before.
"""

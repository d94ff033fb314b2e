"""Gram matrices of gradients that live in few rows of a table."""

from tangrid.ops.tangent_gram.operator import tangent_gram as tangent_gram

"""Gram matrices of gradients that live in few rows of a table, and their products."""

from tangrid.ops.tangent_gram.nodes import NodeLists as NodeLists
from tangrid.ops.tangent_gram.nodes import list_nodes as list_nodes
from tangrid.ops.tangent_gram.operator import overlap_product as overlap_product
from tangrid.ops.tangent_gram.operator import tangent_gram as tangent_gram

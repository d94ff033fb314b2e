"""Linear algebra of Gram matrices of any size: eigenvalues, solutions, functions."""

"""Fourier features and networks of infinite width: kernels in closed form."""

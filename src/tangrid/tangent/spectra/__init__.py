"""Energy of tangent kernels by spatial frequency."""

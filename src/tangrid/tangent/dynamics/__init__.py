"""What a tangent kernel says of training: Theorems 1 and 2, regression, drift."""

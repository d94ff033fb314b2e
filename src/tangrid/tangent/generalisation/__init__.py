"""What a tangent kernel says of points never seen: Theorem 3."""

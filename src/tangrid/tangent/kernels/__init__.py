"""What a tangent kernel is, and how it is had from a field or from any function."""

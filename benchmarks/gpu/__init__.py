"""What the Triton programs reach on an NVIDIA GPU: correctness, speed, whole fits."""

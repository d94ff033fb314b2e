"""The conformance check of tangent kernels: an encoding's structure is what it says."""

from typing import cast

import torch

from tangrid.conformance.subjects import components_of, expect, points
from tangrid.decoders import ReluMlpConfig
from tangrid.encodings import Encoding, EncodingConfig
from tangrid.fields import EncodedField
from tangrid.seeding import generator
from tangrid.tangent import tangent_kernel

_DECODER = ReluMlpConfig(width=8, num_hidden=1)
_POINTS = 5
TOLERANCE = 1e-9
"""Largest difference over largest value: both are float64 and exact."""


def check_tangent_kernel(config: EncodingConfig) -> None:
    """The tangent kernel from parts is that of the derivatives.

    Args:
        config: Settings of the encoding.
    """
    for component in components_of(config):
        encoding = cast("Encoding", component)
        decoder = _DECODER.build(encoding.num_features, 1, generator(0, "decoder"))
        field = EncodedField(encoding, decoder, num_channels=1)
        coords = points(encoding.num_dims, _POINTS)
        found = tangent_kernel(field, coords, implementation="structured").to_dense()
        plain = tangent_kernel(field, coords, implementation="matrix-free")
        wanted = plain @ torch.eye(_POINTS, dtype=torch.float64)
        error = float((found - wanted).abs().max() / wanted.abs().max())
        expect(
            error <= TOLERANCE,
            "tangent kernel from lookups and layers",
            "the kernel of the derivatives of forward",
            f"another, by {error:.1e}",
        )

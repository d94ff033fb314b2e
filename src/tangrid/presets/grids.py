"""Factored, smooth and other grids, for images; each with InstantNGP's decoder.

With the sine-residual decoder instead: ``--set field.decoder=sine-residual-mlp``.
"""

from tangrid.decoders import GaussianLayerConfig, ReluMlpConfig
from tangrid.encodings import (
    DenseGridConfig,
    HashGridConfig,
    PlaneGridConfig,
    RingGridConfig,
    TensorfCpConfig,
    TensorfVmConfig,
)
from tangrid.fields import EncodedFieldConfig, NffbConfig
from tangrid.presets.contract import Preset, file

# Rates are those found here on one Kodak crop. Factors and planes are learned slowly at
# InstantNGP's 2e-2.
_FACTORS = {"grid": 1e-1, "decoder": 5e-3}

file(
    Preset(
        name="tensorf-vm",
        field=EncodedFieldConfig(encoding=TensorfVmConfig(), decoder=ReluMlpConfig()),
        rates=_FACTORS,
        finest_fraction=1.0,
        summary="Products of a line along each axis and a grid over the others.",
        source="Chen et al. 2022, TensoRF; ranks by the budget.",
    )
)
file(
    Preset(
        name="tensorf-cp",
        field=EncodedFieldConfig(encoding=TensorfCpConfig(), decoder=ReluMlpConfig()),
        rates=_FACTORS,
        finest_fraction=1.0,
        summary="Products of a line along every axis.",
        source="Chen et al. 2022, TensoRF; ranks by the budget.",
    )
)
file(
    Preset(
        name="k-planes",
        field=EncodedFieldConfig(encoding=PlaneGridConfig(), decoder=ReluMlpConfig()),
        rates=_FACTORS,
        finest_fraction=0.5,
        summary="Products of planes over pairs of axes; in 2-D one plane per scale.",
        source="Fridovich-Keil et al. 2023, K-Planes; four scales.",
    )
)
file(
    Preset(
        name="tri-plane",
        field=EncodedFieldConfig(
            encoding=PlaneGridConfig(
                num_scales=1,
                channels_per_scale=32,
                reduction="sum",
                lowest_start=-0.1,
                highest_start=0.1,
            ),
            decoder=ReluMlpConfig(),
        ),
        rates=_FACTORS,
        finest_fraction=0.5,
        summary="Sum of one plane per pair of axes; in 2-D a single dense grid.",
        source="Chan et al. 2022: 32 channels; the start is ours.",
    )
)
file(
    Preset(
        name="dense-voxels",
        field=EncodedFieldConfig(
            encoding=DenseGridConfig(num_levels=1, channels_per_level=12),
            decoder=ReluMlpConfig(width=128, num_hidden=2, bias=True, init="uniform"),
        ),
        rates={"grid": 5e-2, "decoder": 5e-3},
        finest_fraction=0.5,
        summary="One dense grid of twelve channels with a wider decoder.",
        source="Sun et al. 2022, DVGO, fine stage; starts small and not at 0.",
    )
)
file(
    Preset(
        name="smooth-grid",
        field=EncodedFieldConfig(encoding=RingGridConfig(), decoder=ReluMlpConfig()),
        rates={"grid": 2e-2, "decoder": 5e-3},
        finest_fraction=0.5,
        summary="Dense grids with Gaussian weights of two rings: twice differentiable.",
        source="Differentiable-infinity grid, 2026: Gaussians; levels and window ours.",
    )
)
file(
    Preset(
        name="gnf",
        field=EncodedFieldConfig(
            encoding=HashGridConfig(num_levels=16, log2_table_size=24),
            decoder=GaussianLayerConfig(),
        ),
        rates={"grid": 5e-2, "decoder": 1e-2},
        finest_fraction=0.5,
        summary="Hash grid with one layer of Gaussians for a decoder.",
        source="Bouzidi et al. 2025, GNF; on InstantNGP's grid.",
    )
)
file(
    Preset(
        name="nffb",
        field=NffbConfig(width=64, base_resolution=16),
        # At 1e-3 the sines of frequency 100 saturate and nothing is learned.
        rates={"grid": 1e-2, "decoder": 3e-4},
        summary="Sine layers, each fed by the grid level of its band.",
        source="Wu et al. 2023, Neural Fourier Filter Bank; half as wide.",
    )
)

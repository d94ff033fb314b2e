"""Models of scenes: radiance fields, sized for processors without a graphics card.

Most end with about two million parameters, a sixth of what the paper gives InstantNGP.
"""

from types import MappingProxyType

from tangrid.encodings import (
    DenseGridConfig,
    FourierConfig,
    HashGridConfig,
    MulfaGridConfig,
    NeurbfConfig,
    PlaneGridConfig,
    TensorfCpConfig,
    TensorfVmConfig,
)
from tangrid.fields.radiance import (
    DirectionEncoding,
    EncodedRadianceConfig,
    Growth,
    NerfConfig,
    SeparateRadianceConfig,
    opacity_shift,
)
from tangrid.presets.contract import PRESETS, Preset, file_for_scene

_FINEST = 512
_LEVELS = 8
_GROWTH = (_FINEST / 16) ** (1 / (_LEVELS - 1))

file_for_scene(
    Preset(
        name="instant-ngp",
        field=EncodedRadianceConfig(
            encoding=HashGridConfig(
                num_levels=_LEVELS,
                channels_per_level=4,
                growth=_GROWTH,
                log2_table_size=16,
            ),
        ),
        rates={"grid": 1e-2, "decoder": 1e-2},
        summary=PRESETS["instant-ngp"].summary,
        source="Mueller et al. 2022, NeRF settings with T = 2^16, finest level of 512.",
    )
)
file_for_scene(
    Preset(
        name="mulfagrid",
        field=EncodedRadianceConfig(
            encoding=MulfaGridConfig(
                num_levels=_LEVELS,
                channels_per_level=4,
                growth=_GROWTH,
                log2_table_size=16,
                index_mode="normalised",
                gate_bandwidth=300.0,
                num_gates=2,
                output_scale=0.0,
                kernel_outputs="shared",
                # Kernels on all eight make a step half as long again for 0.1 dB.
                num_kernel_levels=1,
            ),
        ),
        rates={"grid": 1e-2, "kernel": 3e-2, "decoder": 1e-2},
        summary="Grid with a learned multiplicative Fourier kernel, coarsest level.",
        source="Zhao et al. 2024, eqs. 6-7; centred, on InstantNGP's levels: ours.",
    )
)
file_for_scene(
    Preset(
        name="neurbf",
        field=EncodedRadianceConfig(
            encoding=NeurbfConfig(
                num_centres=2**15,
                num_neighbours=5,
                profile="linear",
                shape="scalar",
                num_levels=8,
                channels_per_level=2,
                finest_resolution=_FINEST,
                log2_table_size=16,
                lowest_frequency=1.0,
                highest_frequency=8.0,
            ),
        ),
        rates={"grid": 1e-2, "decoder": 1e-2},
        summary=PRESETS["neurbf"].summary,
        source="Chen et al. 2023: five neighbours, 32 features; in InstantNGP's field.",
    )
)
file_for_scene(
    Preset(
        name="tensorf-vm",
        field=SeparateRadianceConfig(
            density_encoding=TensorfVmConfig(resolution=64, num_ranks=8),
            appearance_encoding=TensorfVmConfig(resolution=64, num_ranks=24),
            growth=Growth.even(Growth().at, 64, 144),
        ),
        rates={"grid": 2e-2, "decoder": 1e-3},
        summary=PRESETS["tensorf-vm"].summary,
        source="Chen et al. 2022, VM-192 with half the ranks and resolution.",
    )
)
file_for_scene(
    Preset(
        name="tensorf-cp",
        field=SeparateRadianceConfig(
            density_encoding=TensorfCpConfig(resolution=128, num_ranks=96),
            appearance_encoding=TensorfCpConfig(resolution=128, num_ranks=288),
            growth=Growth(),
        ),
        rates={"grid": 2e-2, "decoder": 1e-3},
        summary=PRESETS["tensorf-cp"].summary,
        source="Chen et al. 2022, CP-384 with a resolution of 300 in place of 500.",
    )
)
file_for_scene(
    Preset(
        name="k-planes",
        field=EncodedRadianceConfig(
            encoding=PlaneGridConfig(resolution=256, num_scales=3, channels_per_scale=8)
        ),
        rates={"grid": 1e-2, "decoder": 1e-2},
        summary="Products of planes over pairs of axes, at three scales.",
        source="Fridovich-Keil et al. 2023, hybrid; a quarter of the channels, 64 to "
        "256 vertices.",
    )
)
# Twice as many voxels every time, as published.
_FIRST_VOXELS, _VOXELS = 21, 54

file_for_scene(
    Preset(
        name="dvgo",
        field=SeparateRadianceConfig(
            density_encoding=DenseGridConfig(
                num_levels=1, channels_per_level=1, base_resolution=_FIRST_VOXELS
            ),
            appearance_encoding=DenseGridConfig(
                num_levels=1, channels_per_level=12, base_resolution=_FIRST_VOXELS
            ),
            num_appearance=None,
            feature_bands=0,
            directions=DirectionEncoding(family="waves", order=4),
            density_shift=opacity_shift(1e-3),
            density_scale=float(_VOXELS),
            growth=Growth.even((0.05, 0.1, 0.15, 0.2), _FIRST_VOXELS, _VOXELS),
        ),
        rates={"grid": 1e-1, "decoder": 1e-3},
        summary="One dense grid for the density, one for features of the colour.",
        source="Sun et al. 2022, fine stage, of 54^3 voxels in place of 160^3.",
    )
)
# A third of the published samples, which are 64 and 128. A grid of what is occupied
# would cost this network more than the samples that it spares.
_FEW_SAMPLES = MappingProxyType({
    "views.march.sampling": "hierarchical",
    "views.march.coarse": "32",
    "views.march.fine": "32",
})

file_for_scene(
    Preset(
        name="nerf",
        field=NerfConfig(),
        rates={"decoder": 5e-4},
        settings=_FEW_SAMPLES,
        summary="Deep rectified network on octaves of the coordinates.",
        source="Mildenhall et al. 2020; softplus for the density, one network.",
    )
)
file_for_scene(
    Preset(
        name="nerf-fourier",
        field=NerfConfig(encoding=FourierConfig(bandwidth_cycles=8.0)),
        rates={"decoder": 5e-4},
        settings=_FEW_SAMPLES,
        summary="The same network on Gaussian Fourier features.",
        source="Network: Mildenhall et al. 2020; features: Tancik et al. 2020; "
        "bandwidth ours.",
    )
)

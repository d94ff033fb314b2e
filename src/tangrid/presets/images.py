"""Models for images, as published and as found best here."""

import dataclasses

from tangrid.decoders import ReluMlpConfig, SineResidualMlpConfig
from tangrid.encodings import (
    HashGridConfig,
    MulfaGridConfig,
    MulfaNodesConfig,
    NeurbfConfig,
)
from tangrid.fields import EncodedFieldConfig
from tangrid.presets.contract import Preset, file

# A budget of parameters decides the growth; these are the levels it starts from.
_INSTANT_NGP = HashGridConfig(num_levels=16, log2_table_size=24)

file(
    Preset(
        name="instant-ngp",
        field=EncodedFieldConfig(encoding=_INSTANT_NGP, decoder=ReluMlpConfig()),
        rates={"grid": 2e-2, "decoder": 5e-3},
        finest_fraction=0.5,
        summary="Multi-resolution hash grid with a small rectified decoder.",
        source="Mueller et al. 2022; image settings of the released code.",
    )
)
file(
    Preset(
        name="instant-ngp-sine",
        field=EncodedFieldConfig(
            encoding=_INSTANT_NGP, decoder=SineResidualMlpConfig()
        ),
        rates={"grid": 2e-2, "decoder": 2.5e-3},
        finest_fraction=0.5,
        summary="The same grid with the sine-residual decoder of NeuRBF.",
        source="Grid: Mueller et al. 2022; decoder: Chen et al. 2023.",
    )
)
# Rates act on frequencies per box side, so gates of far nodes keep their phase; every
# node of every level has a phase of its own. The kernel starts as the plain grid's, and
# is learned fast.
_KERNEL = MulfaGridConfig(
    num_levels=16,
    log2_table_size=24,
    index_mode="normalised",
    gate_bandwidth=300.0,
    output_scale=0.0,
)

file(
    Preset(
        name="mulfagrid",
        field=EncodedFieldConfig(
            encoding=dataclasses.replace(_KERNEL, num_levels=6, base_resolution=8),
            decoder=SineResidualMlpConfig(),
        ),
        rates={"grid": 2e-2, "kernel": 3e-2, "decoder": 5e-3},
        finest_fraction=0.5,
        summary="Grid with a learned multiplicative Fourier kernel for every channel.",
        source="Zhao et al. 2024, eqs. 6-7; per channel, centred, six levels: ours.",
    )
)
file(
    Preset(
        name="mulfagrid-10",
        field=EncodedFieldConfig(
            encoding=dataclasses.replace(_KERNEL, num_levels=10, base_resolution=24),
            decoder=SineResidualMlpConfig(),
        ),
        rates={"grid": 2e-2, "kernel": 3e-2, "decoder": 5e-3},
        finest_fraction=0.5,
        summary="The same on ten levels, for whole photographs.",
        source="Zhao et al. 2024, eqs. 6-7; per channel, centred, ten levels: ours.",
    )
)
file(
    Preset(
        name="mulfagrid-16",
        field=EncodedFieldConfig(encoding=_KERNEL, decoder=SineResidualMlpConfig()),
        rates={"grid": 2e-2, "kernel": 3e-2, "decoder": 2.5e-3},
        finest_fraction=0.5,
        summary="MulFAGrid on the levels of InstantNGP, to be compared with them.",
        source="Zhao et al. 2024, eqs. 6-7; levels: Mueller et al. 2022.",
    )
)
file(
    Preset(
        name="mulfagrid-paper",
        field=EncodedFieldConfig(
            encoding=MulfaGridConfig(
                num_levels=16,
                log2_table_size=24,
                num_filter_layers=2,
                num_gates=16,
                kernel_outputs="shared",
                normaliser="sum",
            ),
            decoder=ReluMlpConfig(),
        ),
        finest_fraction=0.5,
        summary="One learned multiplicative Fourier kernel, normalised by its sum.",
        source="Zhao et al. 2024, eqs. 6-8 to the letter; layers and widths are ours.",
    )
)
file(
    Preset(
        name="mulfagrid-nodes",
        field=EncodedFieldConfig(
            encoding=MulfaNodesConfig(
                index_mode="normalised", gate_bandwidth=300.0, output_scale=0.0
            ),
            decoder=SineResidualMlpConfig(),
        ),
        rates={"grid": 1e-2, "kernel": 1e-2, "decoder": 5e-3},
        finest_fraction=0.5,
        summary="The learned kernel function on nodes placed by detail, beside a grid.",
        source="Zhao et al. 2024 on the nodes of Chen et al. 2023; settings ours.",
    )
)
file(
    Preset(
        name="neurbf",
        field=EncodedFieldConfig(
            encoding=NeurbfConfig(),
            decoder=SineResidualMlpConfig(
                lowest_frequency=10.0, highest_frequency=100.0
            ),
        ),
        rates={"grid": 2.5e-3, "decoder": 5e-3},
        finest_fraction=0.5,
        summary="Radial functions around centres placed by detail, beside a grid.",
        source="Chen et al. 2023; single-image settings of the code, rates halved.",
    )
)

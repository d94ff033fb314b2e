"""Models for signed distances, where other settings than those for images are better.

A grid in space has so many nodes that its tables are hashed from the third or fourth
level on. A budget of parameters takes the smallest tables that can hold it, so that the
finest level is as fine as it can be.

Rates were looked for on the armadillo, in fits of one and four minutes. With decoders
that learn faster, fields went flat near the surface.
"""

from tangrid.decoders import ReluMlpConfig, SineResidualMlpConfig
from tangrid.encodings import (
    HashGridConfig,
    MulfaGridConfig,
    NeurbfConfig,
)
from tangrid.fields import EncodedFieldConfig
from tangrid.presets.contract import PRESETS, Preset, file_for_sdf

_PARAMS = 950_000
"""As many as InstantNGP has with tables of 2^15 rows and a finest level of 2048."""
_SMALLEST_TABLE = 8

file_for_sdf(
    Preset(
        name="instant-ngp",
        field=EncodedFieldConfig(
            encoding=HashGridConfig(num_levels=16, log2_table_size=_SMALLEST_TABLE),
            decoder=ReluMlpConfig(),
        ),
        rates={"grid": 2e-3, "decoder": 1e-3},
        params=_PARAMS,
        summary=PRESETS["instant-ngp"].summary,
        source="Mueller et al. 2022, SDF settings with T = 2^15; rates measured here.",
    )
)
# As for images the kernel does best on few levels, whose cells are wide; nine tables
# twice as large hold as many parameters as InstantNGP's sixteen.
file_for_sdf(
    Preset(
        name="mulfagrid",
        field=EncodedFieldConfig(
            encoding=MulfaGridConfig(
                num_levels=9,
                log2_table_size=_SMALLEST_TABLE,
                index_mode="normalised",
                gate_bandwidth=300.0,
                num_gates=2,
                output_scale=0.0,
            ),
            decoder=ReluMlpConfig(),
        ),
        rates={"grid": 2.5e-3, "kernel": 2.5e-3, "decoder": 1e-3},
        params=_PARAMS,
        summary=PRESETS["mulfagrid"].summary,
        source="Zhao et al. 2024, eqs. 6-7; per channel, centred, nine levels: ours.",
    )
)
file_for_sdf(
    Preset(
        name="neurbf",
        field=EncodedFieldConfig(
            encoding=NeurbfConfig(
                num_neighbours=8,
                num_channels=16,
                profile="linear",
                shape="scalar",
                num_levels=16,
                channels_per_level=1,
                finest_resolution=2048,
                log2_table_size=15,
                lowest_frequency=1.0,
                highest_frequency=8.0,
            ),
            decoder=SineResidualMlpConfig(
                lowest_frequency=30.0, highest_frequency=300.0
            ),
        ),
        rates={"grid": 3e-4, "decoder": 3e-4},
        params=_PARAMS,
        summary=PRESETS["neurbf"].summary,
        source="Chen et al. 2023, SDF settings; rates measured here.",
    )
)

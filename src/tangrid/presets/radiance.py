"""Models of scenes: radiance fields, sized for processors without a graphics card.

Most have about two million parameters, a sixth of what the papers give InstantNGP.
"""

from tangrid.encodings import HashGridConfig, MulfaGridConfig
from tangrid.fields.radiance import EncodedRadianceConfig
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
            )
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
            )
        ),
        rates={"grid": 1e-2, "kernel": 1e-2, "decoder": 1e-2},
        summary=PRESETS["mulfagrid"].summary,
        source="Zhao et al. 2024, eqs. 6-7; per channel, centred, eight levels: ours.",
    )
)

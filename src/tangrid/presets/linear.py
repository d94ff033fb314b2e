"""Models that are linear in what is trained, so that the best of them can be computed.

``--optimizer exact`` does that; Adam trains them, too.
"""

from tangrid.decoders import LinearConfig, SumConfig
from tangrid.encodings import DenseGridConfig, FourierConfig
from tangrid.fields import EncodedFieldConfig
from tangrid.presets.contract import Preset, file

file(
    Preset(
        name="linear-grid",
        field=EncodedFieldConfig(
            # Each level four times as fine as the one before: neighbours that are
            # closer say the same twice, which costs conjugate gradients steps.
            encoding=DenseGridConfig(
                num_levels=4, channels_per_level=3, base_resolution=8
            ),
            decoder=SumConfig(),
        ),
        rates={"grid": 0.2},
        finest_fraction=0.5,
        summary="Sum of four dense grids, linear in its features.",
        source="Bilinear pyramid; levels and rates ours.",
    )
)
file(
    Preset(
        name="fourier-linear",
        field=EncodedFieldConfig(
            encoding=FourierConfig(family="gaussian", num_frequencies=512),
            decoder=LinearConfig(),
        ),
        rates={"decoder": 5e-2},
        summary="Gaussian Fourier features under one matrix.",
        source="Rahimi, Recht 2007; frequencies: Tancik et al. 2020.",
    )
)

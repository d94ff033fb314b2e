"""Models for images, as published and as found best here."""

from tangrid.decoders import ReluMlpConfig, SineResidualMlpConfig
from tangrid.encodings import FourierConfig, HashGridConfig
from tangrid.fields import EncodedFieldConfig
from tangrid.presets.contract import Preset, file

# A budget of parameters decides the growth; these are the levels it starts from.
_INSTANT_NGP = HashGridConfig(num_levels=16, log2_table_size=24)

file(
    Preset(
        name="instant-ngp",
        field=EncodedFieldConfig(encoding=_INSTANT_NGP, decoder=ReluMlpConfig()),
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
        summary="The same grid with the sine-residual decoder of NeuRBF.",
        source="Grid: Mueller et al. 2022; decoder: Chen et al. 2023.",
    )
)
file(
    Preset(
        name="fourier-mlp",
        field=EncodedFieldConfig(
            encoding=FourierConfig(),
            decoder=ReluMlpConfig(
                width=256,
                num_hidden=3,
                bias=True,
                init="uniform",
                output_activation="sigmoid",
            ),
        ),
        rates={"decoder": 1e-3},
        summary="Gaussian Fourier features with a wide rectified network.",
        source="Tancik et al. 2020, 2-D image regression on photographs.",
    )
)

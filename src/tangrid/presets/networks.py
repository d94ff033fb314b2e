"""Networks on bare coordinates, for images.

Rates are those found here for some hundred steps of all pixels with a cosine schedule;
the papers train ten to a hundred times as long at lower ones.
"""

from tangrid.decoders import ReluMlpConfig
from tangrid.encodings import FourierConfig, IdentityConfig
from tangrid.fields import (
    BaconConfig,
    EncodedFieldConfig,
    FinerConfig,
    FourierNetConfig,
    GaborNetConfig,
    SirenConfig,
    WireConfig,
)
from tangrid.presets.contract import Preset, file

_TANCIK = "Tancik et al. 2020, 2-D image regression on photographs"
_WIDE = ReluMlpConfig(
    width=256, num_hidden=3, bias=True, init="uniform", output_activation="sigmoid"
)

file(
    Preset(
        name="plain-mlp",
        field=EncodedFieldConfig(
            encoding=IdentityConfig(scale=1.0, shift=0.0), decoder=_WIDE
        ),
        rates={"decoder": 1e-2},
        summary="Wide rectified network on bare coordinates: shows spectral bias.",
        source=f"{_TANCIK}, no mapping.",
    )
)
file(
    Preset(
        name="fourier-mlp-basic",
        field=EncodedFieldConfig(encoding=FourierConfig(family="basic"), decoder=_WIDE),
        rates={"decoder": 1e-2},
        summary="One sine and cosine per axis with a wide rectified network.",
        source=f"{_TANCIK}, basic mapping.",
    )
)
file(
    Preset(
        name="fourier-mlp-positional",
        field=EncodedFieldConfig(
            encoding=FourierConfig(
                family="posenc-new", octaves=6.0, num_frequencies=128
            ),
            decoder=_WIDE,
        ),
        rates={"decoder": 1e-3},
        summary="Octaves along each axis with a wide rectified network.",
        source=f"{_TANCIK}, positional mapping.",
    )
)
file(
    Preset(
        name="fourier-mlp",
        field=EncodedFieldConfig(encoding=FourierConfig(), decoder=_WIDE),
        rates={"decoder": 1e-3},
        summary="Gaussian Fourier features with a wide rectified network.",
        source=f"{_TANCIK}, Gaussian mapping.",
    )
)
file(
    Preset(
        name="siren",
        field=SirenConfig(),
        # At the 5e-3 of other decoders the sines saturate; the paper's 1e-4 needs many
        # thousand steps.
        rates={"decoder": 1e-3},
        summary="Sine network on the coordinates.",
        source="Sitzmann et al. 2020, images; rate measured here.",
    )
)
file(
    Preset(
        name="finer",
        field=FinerConfig(),
        rates={"decoder": 5e-4},
        summary="Sine network whose waves get faster away from 0.",
        source="Liu et al. 2024, images.",
    )
)
file(
    Preset(
        name="wire",
        field=WireConfig(),
        rates={"decoder": 5e-3},
        summary="Network of complex Gabor wavelets; sensitive to its rate.",
        source="Saragadam et al. 2023; frequency and spread as in Liu et al. 2024.",
    )
)
file(
    Preset(
        name="fourier-net",
        field=FourierNetConfig(),
        rates={"decoder": 1e-2},
        summary="Products of sines of the coordinates.",
        source="Fathony et al. 2021, images.",
    )
)
file(
    Preset(
        name="gabor-net",
        field=GaborNetConfig(),
        rates={"decoder": 1e-2},
        summary="Products of sines under Gaussians of the coordinates.",
        source="Fathony et al. 2021, images.",
    )
)
file(
    Preset(
        name="bacon",
        field=BaconConfig(),
        rates={"decoder": 5e-3},
        summary="Products of sines of fixed whole frequencies: a band-limited field.",
        source="Lindell et al. 2022, images, of one output.",
    )
)

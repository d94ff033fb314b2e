"""A plugin's encoding is a model like any other: fitted, listed and drawn."""

from pathlib import Path

import pytest

from tangrid.encodings import ENCODINGS
from tangrid.registry import KINDS
from tests.cli.conftest import Type

PLUGIN = '''
import dataclasses
import torch
from tangrid.encodings import ENCODINGS, Encoding, EncodingConfig

@ENCODINGS.register("doubled-coords")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DoubledConfig(EncodingConfig):
    """Give every coordinate twice."""
    factor: float = 2.0

    def build(self, site, generator):
        return Doubled(site.num_dims, self.factor)

class Doubled(Encoding):
    def __init__(self, num_dims, factor):
        super().__init__()
        self.num_dims, self.num_features, self.factor = num_dims, 2 * num_dims, factor

    def forward(self, coords):
        return torch.cat((coords, self.factor * coords), 1)
'''


@pytest.fixture
def plugin(workplace: Path):
    Path("plugin.py").write_text(PLUGIN)
    yield "plugin.py"
    KINDS.pop("doubled-coords", None)
    ENCODINGS._classes.pop("doubled-coords", None)


def test_plugin_is_fitted_listed_and_drawn(plugin: str, tangrid: Type):
    words = ("--model", "doubled-coords", "--steps", 3, "--out", "run")
    assert tangrid("fit", "image", "wave.png", *words).code == 2
    fitted = tangrid("fit", "image", "wave.png", *words, "--plugin", plugin)
    assert fitted.code == 0, fitted.err
    assert "factor=2.0" in tangrid("catalogue", "--plugin", plugin).out
    assert tangrid("render", "run", "--plugin", plugin).code == 0

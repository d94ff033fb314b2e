import pytest
import torch

from tangrid.decoders import LinearConfig
from tangrid.seeding import generator


@pytest.mark.parametrize("bias", [True, False])
def test_values_are_one_matrix_product(bias: bool):
    decoder = LinearConfig(bias=bias).build(5, 3, generator(0))
    features = torch.randn(7, 5)
    expected = features @ decoder.output.weight.T
    if bias:
        expected = expected + decoder.output.bias
    assert torch.allclose(decoder(features), expected, atol=1e-6)
    assert sum(p.numel() for p in decoder.parameters()) == 15 + 3 * bias


def test_a_linear_decoder_has_no_size():
    assert LinearConfig().families() == ()

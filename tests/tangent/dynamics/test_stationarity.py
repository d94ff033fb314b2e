import pytest
import torch
from torch import nn

from tangrid.decoders import LinearConfig, ReluMlpConfig
from tangrid.encodings import DenseGridConfig, MulfaGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.stationarity import stationarity

SITE = Site(num_dims=2, num_channels=1)
GRID = DenseGridConfig(num_levels=1, base_resolution=4)


def built(encoding, decoder) -> Field:
    config = EncodedFieldConfig(encoding=encoding, decoder=decoder)
    return config.build(SITE, generator(0, "init"))


class Unknown(Field):
    """A field that nobody has written about."""

    num_dims, num_channels = 2, 1

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power
        self.amplitude = nn.Parameter(torch.ones(3))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, coords):
        waves = torch.sin(torch.outer(coords.sum(1), torch.arange(1, 4).to(coords)))
        inner = waves @ self.amplitude + self.offset
        return (inner.abs() ** self.power * inner.sign())[:, None]

    def parameter_groups(self):
        return {"amplitude": [self.amplitude], "offset": [self.offset]}


def test_unknown_field_is_judged_by_its_values():
    verdict = stationarity(Unknown(1.0))
    assert verdict.holds
    assert verdict.groups == ("amplitude", "offset")
    assert len(verdict.assumptions) == 3
    assert not verdict.reasons


@pytest.mark.parametrize("power", [0.5, 1.001, 2.0])
def test_unknown_nonlinear_field_is_found_out(power: float):
    verdict = stationarity(Unknown(power))
    assert not verdict.holds
    assert verdict.deviation > 1e-6
    assert not verdict.reasons
    assert "does not hold" in str(verdict)


def test_product_of_two_groups_is_named():
    verdict = stationarity(built(GRID, LinearConfig()))
    assert not verdict.holds
    holds = {a.statement: a.holds for a in verdict.assumptions}
    assert holds == {
        "the values are affine in the grid alone": True,
        "the values are affine in the decoder alone": True,
        "nothing multiplies or bends grid and decoder together": False,
    }
    assert any("bilinear" in reason for reason in verdict.reasons)
    assert "FAILS: nothing multiplies" in str(verdict)


@pytest.mark.parametrize("parameters", ["grid", "decoder"])
def test_each_factor_alone_is_fine(parameters: str):
    verdict = stationarity(built(GRID, LinearConfig()), parameters)
    assert verdict.holds
    assert str(verdict).startswith("Theorem 2 holds")


def test_nonlinear_decoder_is_named():
    decoder = ReluMlpConfig(output_activation="sigmoid")
    verdict = stationarity(built(GRID, decoder), "grid")
    assert not verdict.holds
    reasons = " ".join(verdict.reasons)
    assert "2 hidden layers" in reasons
    assert "sigmoid" in reasons


def test_last_layer_of_a_perceptron_is_linear():
    field = built(GRID, ReluMlpConfig())
    assert stationarity(field, "decoder.layers.2").holds
    assert not stationarity(field, "decoder.layers.1").holds


def test_rectifiers_are_seen_although_they_are_piecewise_linear():
    # Without biases they are even homogeneous: f(2 w) = 2 f(w) in the first layer.
    verdict = stationarity(built(GRID, ReluMlpConfig(num_hidden=1)), "decoder.layers.0")
    assert not verdict.holds


def test_trained_interpolation_kernel_is_named():
    encoding = MulfaGridConfig(num_levels=1, base_resolution=4, log2_table_size=6)
    verdict = stationarity(built(encoding, LinearConfig()), ("grid", "kernel"))
    assert not verdict.holds
    assert [a.holds for a in verdict.assumptions] == [True, False, False]
    assert any("interpolation kernel" in reason for reason in verdict.reasons)


def test_observation_that_bends_counts():
    field = built(GRID, LinearConfig())
    x = torch.rand(20, 2, generator=generator(0, "x")).double()
    function = torch.func.functional_call
    table = {"encoding.table": field.get_parameter("encoding.table")}
    field = field.double()

    def blurred(parameters, points):
        return function(field, dict(parameters), (points,)).cumsum(0)

    def rendered(parameters, points):
        return 1 - torch.exp(-blurred(parameters, points))

    assert stationarity(blurred, table, points=x).holds
    assert not stationarity(rendered, table, points=x).holds


def test_values_that_overflow_are_not_affine():
    verdict = stationarity(
        lambda given, x: torch.exp(1e3 * given["w"].exp()) * x,
        {"w": torch.zeros(1)},
        points=torch.ones(3, 1),
    )
    assert not verdict.holds


def test_field_is_left_as_it_was():
    field = built(GRID, LinearConfig())
    before = {name: p.detach().clone() for name, p in field.named_parameters()}
    stationarity(field)
    assert all(p.dtype == torch.float32 for p in field.parameters())
    assert all(p.requires_grad for p in field.parameters())
    assert all(torch.equal(p, before[n]) for n, p in field.named_parameters())


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="points"):
        stationarity(nn.Linear(2, 1))
    with pytest.raises(ConfigError, match="nothing"):
        stationarity(built(GRID, LinearConfig()), "nothing")

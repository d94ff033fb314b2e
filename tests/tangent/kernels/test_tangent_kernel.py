"""Every implementation of a tangent kernel gives the numbers of the plainest one."""

import pytest
import torch
from torch import Tensor, nn

from tangrid.decoders import LinearConfig, ReluMlpConfig, SineResidualMlpConfig
from tangrid.encodings import (
    DenseGridConfig,
    FourierConfig,
    HashGridConfig,
    IdentityConfig,
    MulfaGridConfig,
)
from tangrid.fields import EncodedFieldConfig, Field, FieldConfig, SirenConfig
from tangrid.ops import implementation
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel
from tangrid.tangent.kernels.structured import StructuredKernel
from tests.tolerances import PARITY_FLOAT64

SMALL_HASH = HashGridConfig(num_levels=4, log2_table_size=5, base_resolution=3)
SMALL_MULFA = MulfaGridConfig(num_levels=2, log2_table_size=5, base_resolution=3)
MLP = ReluMlpConfig(width=6)
FIELDS: dict[str, FieldConfig] = {
    "hash": EncodedFieldConfig(encoding=SMALL_HASH, decoder=MLP),
    "nearest": EncodedFieldConfig(
        encoding=HashGridConfig(
            num_levels=2, log2_table_size=5, interpolation="nearest"
        ),
        decoder=MLP,
    ),
    "dense linear": EncodedFieldConfig(
        encoding=DenseGridConfig(num_levels=2, base_resolution=3),
        decoder=LinearConfig(),
    ),
    "mulfa": EncodedFieldConfig(
        encoding=SMALL_MULFA,
        decoder=SineResidualMlpConfig(width=6, output_activation="sigmoid"),
    ),
    "mulfa shared": EncodedFieldConfig(
        encoding=MulfaGridConfig(
            num_levels=2,
            log2_table_size=5,
            kernel_outputs="shared",
            normaliser="lin_add",
            num_filter_layers=2,
        ),
        decoder=MLP,
    ),
    "fourier": EncodedFieldConfig(
        encoding=FourierConfig(num_frequencies=8), decoder=ReluMlpConfig(width=6)
    ),
    "identity": EncodedFieldConfig(
        encoding=IdentityConfig(), decoder=ReluMlpConfig(width=6, bias=True)
    ),
    "siren": SirenConfig(width=6, num_hidden=1, frequency=3.0),
}
POINTS = 13


def built(name: str, num_dims: int = 2) -> Field:
    """A field whose features are large enough for every term to count."""
    site = Site(num_dims=num_dims, num_channels=3)
    field = FIELDS[name].build(site, generator(0, "init"))
    with torch.no_grad():
        for parameter in field.parameters():
            if parameter.abs().max() < 1e-3:
                parameter.normal_(generator=generator(1, "large"))
    return field


def points(count: int = POINTS, num_dims: int = 2, stream: str = "points") -> Tensor:
    return torch.rand(count, num_dims, generator=generator(0, stream)).double()


def distance(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> Field:
    return built(request.param)


@pytest.mark.parametrize("outputs", ["full", "trace", 1])
def test_structure_equals_jacobians(field: Field, outputs: str | int):
    oracle = tangent_kernel(
        field, points(), outputs=outputs, implementation="jacobian"
    ).to_dense()
    kernel = tangent_kernel(field, points(), outputs=outputs)
    assert isinstance(kernel, StructuredKernel)
    assert distance(kernel.to_dense(), oracle) < PARITY_FLOAT64
    assert distance(kernel.diagonal(), oracle.diagonal()) < PARITY_FLOAT64
    vectors = torch.randn(len(oracle), 2, generator=generator(0, "v")).double()
    assert distance(kernel @ vectors, oracle @ vectors) < PARITY_FLOAT64
    assert distance(kernel @ vectors[:, 0], oracle @ vectors[:, 0]) < PARITY_FLOAT64


@pytest.mark.parametrize("outputs", ["full", "trace", 2])
def test_structure_between_different_points(field: Field, outputs: str | int):
    choices = {"outputs": outputs, "x2": points(5, stream="others")}
    oracle = tangent_kernel(field, points(), implementation="jacobian", **choices)
    kernel = tangent_kernel(field, points(), **choices)
    assert kernel.shape == oracle.shape
    assert distance(kernel.to_dense(), oracle.to_dense()) < PARITY_FLOAT64
    vectors = torch.randn(kernel.shape[1], generator=generator(0, "v")).double()
    assert distance(kernel @ vectors, oracle @ vectors) < PARITY_FLOAT64
    chosen = torch.tensor([3, 0])
    wanted = oracle.columns(chosen)
    assert distance(kernel.columns(chosen), wanted) < PARITY_FLOAT64


@pytest.mark.parametrize("outputs", ["full", "trace", 0])
def test_matrix_free_products_equal_jacobians(field: Field, outputs: str | int):
    oracle = tangent_kernel(
        field, points(), outputs=outputs, implementation="jacobian"
    ).to_dense()
    kernel = tangent_kernel(
        field, points(), outputs=outputs, implementation="matrix-free"
    )
    kernel.points_at_once = 4  # several tiles, the last one not full
    vectors = torch.randn(len(oracle), 2, generator=generator(0, "v")).double()
    assert distance(kernel @ vectors, oracle @ vectors) < PARITY_FLOAT64
    assert distance(kernel.diagonal(), oracle.diagonal()) < PARITY_FLOAT64
    chosen = torch.tensor([2, 7])
    oracle_kernel = tangent_kernel(
        field, points(), outputs=outputs, implementation="jacobian"
    )
    wanted = oracle_kernel.columns(chosen)
    assert distance(kernel.columns(chosen), wanted) < PARITY_FLOAT64
    assert distance(kernel.to_dense(), oracle) < PARITY_FLOAT64


def test_groups_add_up(field: Field):
    groups = [g for g, members in field.parameter_groups().items() if members]
    terms = [tangent_kernel(field, points(), parameters=g).to_dense() for g in groups]
    whole = tangent_kernel(field, points(), parameters="all").to_dense()
    assert distance(torch.stack(terms).sum(0), whole) < PARITY_FLOAT64
    several = tangent_kernel(field, points(), parameters=groups).to_dense()
    assert torch.equal(several, whole)


def test_groups_are_those_of_the_jacobian(field: Field):
    for group in field.parameter_groups():
        oracle = tangent_kernel(
            field, points(), parameters=group, implementation="jacobian"
        ).to_dense()
        kernel = tangent_kernel(field, points(), parameters=group)
        assert distance(kernel.to_dense(), oracle) < PARITY_FLOAT64


def test_parts_add_up(field: Field):
    kernel = tangent_kernel(field, points())
    terms = [part.to_dense() for part in kernel.parts.values()]
    assert len(terms) > 1
    assert distance(torch.stack(terms).sum(0), kernel.to_dense()) < PARITY_FLOAT64
    products = [part @ kernel.diagonal() for part in kernel.parts.values()]
    wanted = kernel @ kernel.diagonal()
    assert distance(torch.stack(products).sum(0), wanted) < PARITY_FLOAT64


def test_parts_are_named_after_levels_and_layers():
    names = list(tangent_kernel(built("hash"), points()).parts)
    levels = [f"encoding.table, level {level}" for level in range(4)]
    assert names == levels + [f"decoder.layers.{layer}" for layer in range(3)]


def test_it_is_symmetric_and_positive(field: Field):
    kernel = tangent_kernel(field, points())
    matrix = kernel.to_dense()
    assert torch.equal(matrix, matrix.T)
    assert kernel.eigensystem.smallest > -kernel.eigensystem.resolution


def test_trace_is_the_sum_over_channels(field: Field):
    full = tangent_kernel(field, points()).to_dense()
    blocks = full.view(POINTS, 3, POINTS, 3)
    traced = tangent_kernel(field, points(), outputs="trace").to_dense()
    wanted = torch.einsum("icjc->ij", blocks)
    assert distance(traced, wanted) < PARITY_FLOAT64
    one = tangent_kernel(field, points(), outputs=1).to_dense()
    assert distance(one, blocks[:, 1, :, 1]) < PARITY_FLOAT64


@pytest.mark.parametrize("num_dims", [1, 3, 4])
@pytest.mark.parametrize("name", ["hash", "mulfa", "nearest"])
def test_other_dimensions(name: str, num_dims: int):
    field, x = built(name, num_dims), points(num_dims=num_dims)
    oracle = tangent_kernel(field, x, implementation="jacobian").to_dense()
    assert distance(tangent_kernel(field, x).to_dense(), oracle) < PARITY_FLOAT64


def test_many_points_on_few_nodes_take_the_dense_way():
    """Coarse levels become products of small matrices; the numbers stay."""
    encoding = DenseGridConfig(num_levels=2, base_resolution=2, growth=2.0)
    for decoder in (LinearConfig(), MLP):
        config = EncodedFieldConfig(encoding=encoding, decoder=decoder)
        field = config.build(Site(num_dims=1, num_channels=2), generator(0, "init"))
        x = points(700, 1)
        kernel = tangent_kernel(field, x)
        assert kernel._plan().tiled
        oracle = tangent_kernel(field, x, implementation="jacobian").to_dense()
        assert distance(kernel.to_dense(), oracle) < PARITY_FLOAT64


def test_few_nodes_with_weights_per_channel_take_the_dense_way():
    encoding = MulfaGridConfig(num_levels=1, base_resolution=2, num_gates=2)
    config = EncodedFieldConfig(encoding=encoding, decoder=LinearConfig())
    field = config.build(Site(num_dims=1, num_channels=1), generator(0, "init"))
    x = points(1200, 1)
    kernel = tangent_kernel(field, x, parameters="grid")
    assert not kernel._plan().scattered
    oracle = tangent_kernel(field, x, parameters="grid", implementation="jacobian")
    assert distance(kernel.to_dense(), oracle.to_dense()) < PARITY_FLOAT64


def test_repeated_points_have_equal_rows(field: Field):
    x = points()
    x[5] = x[2]
    matrix = tangent_kernel(field, x, outputs="trace").to_dense()
    assert torch.allclose(matrix[5], matrix[2], rtol=1e-12)
    assert tangent_kernel(field, x, outputs="trace").eigensystem.is_singular


def test_reference_operators_give_the_same(field: Field):
    fast = tangent_kernel(field, points()).to_dense()
    with implementation("reference"):
        plain = tangent_kernel(field, points()).to_dense()
    assert distance(fast, plain) < PARITY_FLOAT64


def test_float32_on_request(field: Field):
    kernel = tangent_kernel(field, points(), dtype=torch.float32)
    assert kernel.dtype == kernel.to_dense().dtype == torch.float32
    exact = tangent_kernel(field, points()).to_dense()
    assert distance(kernel.to_dense().double(), exact) < 1e-4


def test_bfloat16_decoders_are_taken_exactly():
    config = EncodedFieldConfig(
        encoding=SMALL_HASH, decoder=MLP, decoder_dtype="bfloat16"
    )
    site = Site(num_dims=2, num_channels=3)
    rounded = config.build(site, generator(0, "init"))
    exact = FIELDS["hash"].build(site, generator(0, "init"))
    found = tangent_kernel(rounded, points()).to_dense()
    assert torch.equal(found, tangent_kernel(exact, points()).to_dense())


def test_the_field_is_left_as_it_was(field: Field):
    before = {name: tensor.clone() for name, tensor in field.state_dict().items()}
    wanted = field(points().float())
    tangent_kernel(field, points()).to_dense()
    assert all(p.dtype == torch.float32 for p in field.parameters())
    assert torch.equal(field(points().float()), wanted)
    after = field.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(p.grad is None for p in field.parameters())


def test_linear_kernels_do_not_depend_on_the_features():
    """Theorem 2 in its simplest case: the read-out is linear and frozen."""
    field = built("dense linear")
    before = tangent_kernel(field, points(), parameters="grid").to_dense()
    with torch.no_grad():
        field.encoding.table.normal_(generator=generator(3, "other"))
    assert torch.equal(
        tangent_kernel(field, points(), parameters="grid").to_dense(), before
    )


class Tied(Field):
    """A field that uses one layer twice, and a gain besides."""

    num_dims = 2
    num_channels = 2

    def __init__(self, has_gain: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.gain = nn.Parameter(torch.tensor([0.3])) if has_gain else None

    def forward(self, coords: Tensor) -> Tensor:
        hidden = torch.tanh(self.layer(coords))
        values = self.layer(hidden)
        return values if self.gain is None else values * self.gain.exp()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"decoder": list(self.parameters())}


@pytest.mark.parametrize("has_gain", [False, True])
def test_a_layer_that_is_used_twice(has_gain: bool):
    torch.manual_seed(0)
    field = Tied(has_gain)
    kernel = tangent_kernel(field, points())
    assert kernel.explicit == (("gain",) if has_gain else ())
    oracle = tangent_kernel(field, points(), implementation="jacobian").to_dense()
    assert distance(kernel.to_dense(), oracle) < PARITY_FLOAT64
    assert distance(kernel.diagonal(), oracle.diagonal()) < PARITY_FLOAT64
    vectors = torch.randn(len(oracle), 2, generator=generator(0, "v")).double()
    assert distance(kernel @ vectors, oracle @ vectors) < PARITY_FLOAT64


class Odd(Field):
    """A field that uses weights in ways that no site describes."""

    num_dims = 2
    num_channels = 1

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.last = nn.Linear(2, 1, bias=False)

    def forward(self, coords: Tensor) -> Tensor:
        hidden = self.first(coords)
        match self.how:
            case "matmul":
                hidden = torch.tanh(hidden @ self.second.weight.T)
            case "also elsewhere":
                hidden = torch.tanh(self.second(hidden)) * self.second.weight.sum()
            case "other bias":
                weight, bias = self.second.weight, self.first.bias
                hidden = torch.tanh(nn.functional.linear(hidden, weight, bias))
            case "in a list":
                both = torch.cat([self.second.weight, self.first.weight])
                hidden = torch.tanh(nn.functional.linear(hidden, both[:2]))
            case "more axes":
                hidden = torch.tanh(self.second(hidden[:, None, :]))[:, 0]
        return self.last(hidden)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"decoder": list(self.parameters())}


@pytest.mark.parametrize(
    ("how", "explicit"),
    [
        ("matmul", ("second.weight", "second.bias")),
        ("also elsewhere", ("second.weight", "second.bias")),
        ("other bias", ("first.weight", "first.bias", "second.weight", "second.bias")),
        ("in a list", ("first.weight", "first.bias", "second.weight", "second.bias")),
        ("more axes", ("second.weight", "second.bias")),
    ],
)
def test_what_has_no_structure_is_written_out(how: str, explicit: tuple[str, ...]):
    torch.manual_seed(1)
    field = Odd(how)
    kernel = tangent_kernel(field, points())
    assert kernel.explicit == explicit
    oracle = tangent_kernel(field, points(), implementation="jacobian").to_dense()
    assert distance(kernel.to_dense(), oracle) < PARITY_FLOAT64


class Overlapping(Field):
    """Two grids that read one table: rows meet across reads."""

    num_dims = 2
    num_channels = 2

    def __init__(self) -> None:
        super().__init__()
        site = Site(num_dims=2, num_channels=2)
        self.grid = SMALL_HASH.build(site, generator(0, "init"))
        self.decoder = MLP.build(2 * self.grid.num_features, 2, generator(0, "mlp"))

    def forward(self, coords: Tensor) -> Tensor:
        both = (self.grid(coords), self.grid(1 - coords))
        return self.decoder(torch.cat(both, dim=1))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"grid": [self.grid.table], "decoder": list(self.decoder.parameters())}


def test_reads_that_share_rows_are_joined():
    field = Overlapping()
    kernel = tangent_kernel(field, points())
    oracle = tangent_kernel(field, points(), implementation="jacobian").to_dense()
    assert distance(kernel.to_dense(), oracle) < PARITY_FLOAT64
    assert distance(kernel.diagonal(), oracle.diagonal()) < PARITY_FLOAT64
    parts = [name for name in kernel.parts if name.startswith("grid")]
    assert len(parts) == len(SMALL_HASH.layout(2).levels)

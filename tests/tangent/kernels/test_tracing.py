"""Fields that use their parameters in unusual ways still get the right kernel."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tangrid.encodings import DenseGridConfig, HashGridConfig
from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel
from tangrid.tangent.kernels import building
from tangrid.tangent.kernels import subject as subjects_module
from tangrid.tangent.kernels.stand_in import StandIn
from tangrid.tangent.kernels.subject import Subject, subject_of
from tests.tolerances import PARITY_FLOAT64

SITE = Site(num_dims=2, num_channels=2)
GRID = HashGridConfig(num_levels=3, log2_table_size=5, base_resolution=3)


@pytest.fixture(autouse=True, params=["shared", "copied"])
def small_tables(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Treat small tables as large ones, which are not copied, and as what they are."""
    if request.param == "shared":
        monkeypatch.setattr(subjects_module, "LARGE_TABLE", 1)


class Strange(Field):
    """A field of two channels made of given parts."""

    num_dims = 2
    num_channels = 2

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"all of them": list(self.parameters())}


def points(count: int = 11, stream: str = "points") -> Tensor:
    return torch.rand(count, 2, generator=generator(0, stream)).double()


def one_by_one(field: Field, x: Tensor, x2: Tensor) -> Tensor:
    """The definition, by plain reverse mode, a point and a channel at a time."""
    field = field.double().eval()
    leaves = [p for p in field.parameters() if p.requires_grad]
    sides = []
    for side in (x, x2):
        rows = []
        for point in side:
            for value in field.forward(point[None])[0]:
                found = torch.autograd.grad(
                    value, leaves, retain_graph=True, materialize_grads=True,
                    allow_unused=True,
                )  # fmt: skip
                rows.append(torch.cat([g.flatten() for g in found]))
        sides.append(torch.stack(rows))
    return sides[0] @ sides[1].T


def assert_right(field: Field, x: Tensor | None = None, x2: Tensor | None = None):
    """Compare with the definition: dense, products, diagonal, parts, two sides."""
    x = points() if x is None else x
    x2 = points(4, "others") if x2 is None else x2
    with torch.no_grad():
        for parameter in field.parameters():
            if parameter.abs().max() < 1e-3:
                parameter.normal_(generator=generator(1, "large"))
    kernel, cross = tangent_kernel(field, x), tangent_kernel(field, x, x2)
    wanted, between = one_by_one(field, x, x), one_by_one(field, x, x2)
    for found, exact in ((kernel, wanted), (cross, between)):
        size = exact.abs().max()
        assert (found.to_dense() - exact).abs().max() < PARITY_FLOAT64 * size
        vector = torch.randn(exact.shape[1], generator=generator(0, "v")).double()
        assert (found @ vector - exact @ vector).abs().max() < 1e-11 * size
        parts = torch.stack([part.to_dense() for part in found.parts.values()])
        assert (parts.sum(0) - exact).abs().max() < PARITY_FLOAT64 * size
    diagonal = kernel.diagonal() - wanted.diagonal()
    assert diagonal.abs().max() < PARITY_FLOAT64 * wanted.abs().max()


USES = {
    "chunk": lambda w, _: w.chunk(2)[0][0, 0],
    "unbind": lambda w, _: w.unbind()[0][0],
    "iteration": lambda w, _: next(iter(w))[0],
    "named result": lambda w, _: w.max(dim=0).values[0],
    "transposed": lambda w, x: (x @ w.T).sum(1, keepdim=True),
    "in place": lambda w, _: torch.zeros(2, 2).to(w).copy_(w)[0, 0],
    "for each": lambda w, _: torch._foreach_mul([w], 2.0)[0][0, 0],
    "vmap": lambda w, _: torch.vmap(lambda row: row.sum())(w)[0],
}


class BesidesLayer(Strange):
    """A layer whose matrix also has another use."""

    def __init__(self, use: str) -> None:
        super().__init__()
        self.use = USES[use]
        self.layer = nn.Linear(2, 2)

    def forward(self, coords: Tensor) -> Tensor:
        factor = self.use(self.layer.weight, coords)
        return torch.tanh(self.layer(coords)) * factor


@pytest.mark.parametrize("use", USES)
def test_a_matrix_with_another_use(use: str):
    torch.manual_seed(0)
    field = BesidesLayer(use)
    assert tangent_kernel(field, points()).explicit == ("layer.weight", "layer.bias")
    assert_right(field)


class TwoMatrices(Strange):
    """One module with two matrices, and a gain without axes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Module()
        self.inner.first = nn.Parameter(torch.randn(5, 2))
        self.inner.second = nn.Parameter(torch.randn(2, 5))
        self.gain = nn.Parameter(torch.tensor(0.3))

    def forward(self, coords: Tensor) -> Tensor:
        hidden = nn.functional.linear(input=coords, weight=self.inner.first)
        hidden = torch.tanh(hidden) * self.gain
        return nn.functional.linear(hidden, self.inner.second)


def test_two_matrices_of_one_module():
    field = TwoMatrices()
    names = list(tangent_kernel(field, points()).parts)
    assert names == ["inner.first", "inner.second", "gain"]
    assert_right(field)


class SharedReads(Strange):
    """One grid read twice, or two grids with one table."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how = how
        config = GRID
        if how == "stretched":
            config = DenseGridConfig(num_levels=1, base_resolution=16)
        self.grid = config.build(SITE, generator(0, "init"))
        self.other = config.build(SITE, generator(0, "init"))
        if how == "one table":
            self.other.table = self.grid.table
        self.decoder = nn.Linear(2 * self.grid.num_features, 2)

    def forward(self, coords: Tensor) -> Tensor:
        match self.how:
            case "stretched":
                first, second = (coords[:, a : a + 1].expand(-1, 2) for a in (0, 1))
                reads = self.grid(first), self.grid(second)
            case "one table":
                reads = self.grid(coords), self.other(1 - coords)
            case _:
                reads = self.grid(coords), self.grid(1 - coords)
        return self.decoder(torch.cat(reads, dim=1))


@pytest.mark.parametrize("how", ["mirrored", "stretched", "one table"])
def test_reads_of_one_table_meet_whatever_the_points(how: str):
    x = torch.tensor([[0.0, 0.5], [0.3, 1.0], [0.02, 0.01]]).double()
    x2 = torch.tensor([[0.85, 0.55], [1.0, 0.62], [0.9, 0.0], [0.5, 0.5]]).double()
    assert_right(SharedReads(how), x, x2)
    assert_right(SharedReads(how))


class MoreThanReads(Strange):
    """A grid whose table is used as a whole too."""

    def __init__(self, use: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.use = use
        self.grid = GRID.build(SITE, generator(0, "init"))
        self.decoder = nn.Linear(self.grid.num_features, 2)

    def forward(self, coords: Tensor) -> Tensor:
        values, table = self.decoder(self.grid(coords)), self.grid.table
        match self.use:
            case "mean":
                return values * (1 + table.square().mean())
            case "detached mean":
                return values * (1 + table.detach().square().mean())
            case "sign":
                return torch.where(table[0] > 0, values, -values)
            case "branch":
                return values if bool(table[0, 0] > 0) else -values
            case "matrix":
                return values + coords @ table[:2]
            case "detached matrix":
                return torch.tanh(values + coords @ table[:2].detach())
            case "in place":
                return (values * 1.0).mul_(1 + table.detach().mean())
            case "mask":
                values = values * 1.0
                values[:, table.detach()[0] > 0] = 0.0
                return values
            case "rows":
                return values * torch.arange(2.0).to(values)[table[0].detach().long()]
            case _:
                return values + table.view(-1)[:2]


TRAINED_USES = ("mean", "matrix", "view")
DETACHED_USES = ("detached mean", "detached matrix", "in place", "mask", "rows")
VALUE_USES = ("sign", "branch")


@pytest.mark.parametrize("use", [*TRAINED_USES, *DETACHED_USES, *VALUE_USES])
def test_a_table_that_is_used_as_a_whole_too(use: str):
    explicit = tangent_kernel(MoreThanReads(use), points()).explicit
    assert explicit == (("grid.table",) if use in TRAINED_USES else ())
    assert_right(MoreThanReads(use))


class Nested(Strange):
    """A field of two others, each with a door of its own."""

    def __init__(self) -> None:
        super().__init__()
        config = EncodedFieldConfig(encoding=GRID)
        self.parts = nn.ModuleList(
            config.build(SITE, generator(seed, "init")) for seed in (0, 1)
        )

    def forward(self, coords: Tensor) -> Tensor:
        return self.parts[0](coords) + self.parts[1](coords)


@pytest.mark.parametrize("make", [Nested, lambda: SharedReads("one table")])
def test_tables_that_only_rows_are_read_of_are_not_copied(
    make: Callable[[], Field], monkeypatch: pytest.MonkeyPatch
):
    subjects = []

    def remembered(*args: object, **options: object) -> Subject:
        subjects.append(subject_of(*args, **options))
        return subjects[-1]

    monkeypatch.setattr(building, "subject_of", remembered)
    monkeypatch.setattr(subjects_module, "LARGE_TABLE", 1)
    field = make()
    before = {name: p.clone() for name, p in field.named_parameters()}
    found = tangent_kernel(field, points()).to_dense()
    (subject,) = subjects
    tables = [name for name in before if name.endswith("table")]
    assert subject.shared_names == set(tables)
    for name in tables:
        # A shape without numbers, whatever the size.
        assert isinstance(subject.parameters[name], StandIn)
    for name, parameter in field.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.requires_grad
    assert not any("forward" in part.__dict__ for part in field.modules())
    assert torch.allclose(found, one_by_one(field, points(), points()))


def test_a_table_may_be_finer_than_the_kernel():
    field = SharedReads("mirrored").double()
    found = tangent_kernel(field, points().float(), dtype=torch.float32).to_dense()
    assert found.dtype == torch.float32
    exact = tangent_kernel(field, points().float().double()).to_dense()
    assert torch.allclose(found.double(), exact, rtol=1e-4, atol=1e-7)


class Supersampled(Strange):
    """A grid that is read at three places for every point."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.grid = GRID.build(SITE, generator(0, "init"))
        self.decoder = nn.Linear(self.grid.num_features, 2)

    def forward(self, coords: Tensor) -> Tensor:
        places = torch.stack([coords, 0.9 * coords, 0.5 * coords], 1).flatten(0, 1)
        features = self.grid(places).view(len(coords), 3, -1).mean(1)
        return torch.tanh(self.decoder(features))


def test_several_reads_for_every_point():
    field = Supersampled()
    assert tangent_kernel(field, points()).explicit == ("grid.table",)
    assert_right(field)


class Mixing(Strange):
    """A field that gives points the values of others."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, coords: Tensor) -> Tensor:
        return self.layer(coords.flip(0)).tanh().flip(0)


def test_points_that_are_mixed_on_the_way_are_refused():
    field = Mixing()
    with pytest.raises(ShapeError, match="one that mixes points"):
        tangent_kernel(field, points(), implementation="structured")
    x = points(5)
    found = tangent_kernel(field, x, implementation="jacobian").to_dense()
    assert torch.allclose(found, one_by_one(field, x, x))


def test_a_field_that_diverged_is_not_said_to_mix_points():
    field = SharedReads("mirrored")
    with torch.no_grad():
        field.decoder.weight.fill_(torch.inf)
    kernel = tangent_kernel(field, points())
    with pytest.raises(NumericalError, match="finite"):
        kernel.eigenvalues(1)


class Dropping(Strange):
    """A field with dropout, as it is in training."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 8)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(8, 2)

    def forward(self, coords: Tensor) -> Tensor:
        return self.last(self.drop(torch.tanh(self.first(coords))))


@pytest.mark.parametrize("name", ["structured", "jacobian", "matrix-free"])
def test_modules_are_taken_as_in_evaluation(name: str):
    torch.manual_seed(0)
    field = Dropping()
    found = tangent_kernel(field, points(), implementation=name).to_dense()
    assert field.training
    assert torch.allclose(found, one_by_one(field, points(), points()))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["structured", "jacobian", "matrix-free"])
def test_the_mode_of_the_caller_does_not_matter(mode: type, name: str):
    field = Supersampled().double()
    wanted = tangent_kernel(field, points(), implementation="jacobian").to_dense()
    with mode():
        kernel = tangent_kernel(field, points(), implementation=name)
        found = kernel.to_dense()
        product = kernel @ torch.ones(22, dtype=torch.float64)
    assert torch.allclose(found, wanted)
    assert torch.allclose(product, wanted.sum(1))
    assert not found.requires_grad


@pytest.mark.parametrize("name", ["structured", "jacobian", "matrix-free"])
def test_a_kernel_stays_what_it_was(name: str):
    field, x = TwoMatrices().double(), points()
    kernel = tangent_kernel(field, x, implementation=name)
    vector = torch.ones(22, dtype=torch.float64)
    before = kernel @ vector
    with torch.no_grad():
        field.inner.first.add_(1)
        x.mul_(0.5)
    assert torch.equal(kernel @ vector, before)


def test_parameters_of_a_callable_may_change_too():
    weight = torch.ones(2, 1, dtype=torch.float64)

    def linear(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return (x @ parameters["weight"]) ** 2

    kernel = tangent_kernel(
        linear, points(), parameters={"weight": weight}, implementation="matrix-free"
    )
    before = kernel @ torch.ones(11, dtype=torch.float64)
    weight.add_(1)
    assert torch.equal(kernel @ torch.ones(11, dtype=torch.float64), before)


def test_a_callable_that_closes_over_parameters_leaves_no_graph():
    net = nn.Linear(2, 2).double()

    def values(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(net, parameters, (x,)).tanh()

    chosen = {"weight": net.weight}
    for name in ("jacobian", "matrix-free"):
        kernel = tangent_kernel(
            values, points(), parameters=chosen, implementation=name
        )
        product = kernel @ torch.ones(22, dtype=torch.float64)
        assert not product.requires_grad
        assert not kernel.diagonal().requires_grad


class Remembering(Strange):
    """A field that keeps a result of its last call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.last: Tensor | None = None

    def forward(self, coords: Tensor) -> Tensor:
        self.last = self.layer(coords)
        return self.last


def test_a_field_that_cannot_be_copied():
    field = Remembering()
    field.forward(points().float())
    with pytest.raises(ConfigError, match="keep no results of earlier calls"):
        tangent_kernel(field, points())


@pytest.mark.parametrize("name", ["structured", "matrix-free"])
def test_no_columns_and_no_points(name: str):
    field = TwoMatrices()
    kernel = tangent_kernel(field, points(), implementation=name)
    nothing = torch.empty(22, 0, dtype=torch.float64)
    assert (kernel @ nothing).shape == (22, 0)
    assert kernel.columns(torch.empty(0, dtype=torch.int64)).shape == (22, 0)


def test_many_columns_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch):
    field = SharedReads("mirrored")
    kernel = tangent_kernel(field, points())
    vectors = torch.randn(22, 7, generator=generator(0, "v")).double()
    wanted = kernel.to_dense() @ vectors
    monkeypatch.setattr("tangrid.tangent.kernels.structured._NUMBERS_AT_ONCE", 1)
    assert torch.allclose(kernel @ vectors, wanted, rtol=1e-10)

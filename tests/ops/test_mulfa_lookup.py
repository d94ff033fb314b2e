"""MulFAGrid's lookup: what its weights obey, and that every way to them agrees."""

import numba
import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from tangrid.errors import ConfigError, ImplementationError, ShapeError
from tangrid.ops.accumulation import accumulate_into
from tangrid.ops.contract import (
    implementation,
    single_threaded,
    used_implementations,
)
from tangrid.ops.grid_lookup import GridLayout, grid_layout, grid_lookup
from tangrid.ops.grid_lookup.reference import (
    corner_nodes,
    corner_weights,
    scaled_position,
)
from tangrid.ops.mulfa_lookup import (
    FilterKernel,
    KernelSettings,
    mulfa_lookup,
    numba_cpu,
    reference,
)
from tangrid.ops.mulfa_lookup.filters import NORMALISERS
from tangrid.seeding import generator
from tests.ops.comparison import assert_close, assert_same_bits, relative_rms
from tests.ops.grid_cases import UGLY, random_points
from tests.ops.mulfa_cases import (
    AFFINE,
    Case,
    assert_parity,
    case_of,
    read,
    results,
    scattered_in_memory,
)
from tests.tolerances import PARITY_FLOAT32, PARITY_FLOAT64

CONTINUOUS = ("lin_softmax", "lin_residual", "lin_add", "lin_centred")


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@pytest.mark.parametrize("outputs", [1, 3])
def test_every_normaliser_agrees(dims: int, normaliser: str, outputs: int):
    assert_parity(case_of(dims, channels=3, outputs=outputs, normaliser=normaliser))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("gates", [3, 8, 16])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_network_agrees(channels: int, gates: int, layers: int):
    dims = 1 + (channels + gates + layers) % 4
    assert_parity(case_of(dims, channels=channels, gates=gates, layers=layers))


@pytest.mark.parametrize("normaliser", ["none", "lin_add", "lin_centred"])
@pytest.mark.parametrize("gates", [1, 2])
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_few_gates_agree(dims: int, gates: int, normaliser: str):
    for channels, interpolation in ((1, "quintic"), (2, "linear"), (4, "smoothstep")):
        case = case_of(
            dims,
            channels=channels,
            outputs=1,
            gates=gates,
            normaliser=normaliser,
            interpolation=interpolation,
        )
        assert_parity(case)


@pytest.mark.parametrize("count", [0, 1, 9, 255, 257, 3000])
@pytest.mark.parametrize("growth", [1.5, 40.0])
def test_few_gates_agree_at_every_number_of_points(count: int, growth: float):
    case = case_of(
        coords=random_points(count, 2),
        outputs=1,
        gates=2,
        normaliser="lin_centred",
        growth=growth,
        units="normalised",
        num_frequencies=10,
    )
    assert_parity(case)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("gates", [2, 8])
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_levels_without_a_kernel_agree(levels: int, gates: int, interpolation: str):
    case = case_of(
        3,
        gates=gates,
        outputs=1,
        normaliser="lin_centred",
        interpolation=interpolation,
    )
    coarsest = FilterKernel(*(tensor[:levels] for tensor in case.kernel))
    assert_parity(case._replace(kernel=coarsest))


@pytest.mark.parametrize("gates", [2, 8])
def test_points_without_a_gradient_are_left_out(gates: int):
    case = case_of(3, gates=gates, outputs=1, coords=random_points(1000, 3))
    case.upstream[torch.rand(1000, generator=generator(0, "seen")) < 0.5] = 0
    assert_parity(case)


GRIDS = [
    {"interpolation": "nearest"},
    {"interpolation": "smoothstep", "convention": "align-corners"},
    {"interpolation": "quintic", "storage": "dense"},
    {"interpolation": "linear", "storage": "tiled"},
    {"interpolation": "nearest", "convention": "align-corners", "storage": "dense"},
    {"units": "normalised", "num_frequencies": 10},
    {"num_frequencies": 1},
]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_grid_agrees(dims: int, grid: dict):
    for normaliser in ("lin_add", "lin_softmax"):
        assert_parity(case_of(dims, normaliser=normaliser, **grid))


@pytest.mark.parametrize("count", [0, 1, 2, 16, 255, 257, 3000])
@pytest.mark.parametrize("growth", [1.5, 40.0])
def test_every_number_of_points_agrees(count: int, growth: float):
    """Many nodes and few points: the gates are computed for each point."""
    coords = random_points(count, 2)
    assert_parity(case_of(coords=coords, growth=growth, units="normalised", layers=2))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("convention", ["tiny-cuda-nn", "align-corners"])
def test_corners_of_the_box_agree(dims: int, convention: str):
    grid = torch.tensor([0.0, 0.5, 1.0])
    coords = torch.cartesian_prod(*[grid] * dims).view(-1, dims)
    assert_parity(case_of(dims, coords=coords, convention=convention))


def test_points_of_one_cell_agree():
    """A thousand points add to the same rows; a lost update would show."""
    assert_parity(case_of(3, coords=0.5 + 1e-3 * random_points(1000, 3)))


@pytest.mark.parametrize("points", [100, 4000])
def test_large_phases_agree(points: int):
    """Of flat indices, for instance; in float32 they would be noise."""
    case = case_of(
        coords=random_points(points, 2),
        base_resolution=500,
        num_levels=1,
        frequency=1e5,
        num_frequencies=1,
    )
    assert_parity(case)


def test_memory_order_does_not_matter():
    case = case_of(3, layers=2)
    scattered = scattered_in_memory(case)
    assert not scattered.coords.is_contiguous()
    assert_same_bits(results(scattered), results(case))
    transposed = case._replace(coords=case.coords.T.contiguous().T)
    assert_same_bits(results(transposed), results(case))
    # Each order would be compiled anew, which takes many seconds.
    assert len(numba_cpu.forward.signatures) == len(numba_cpu.vjp.signatures) == 1


@pytest.fixture
def big_case() -> Case:
    return case_of(coords=random_points(20_000, 2), layers=2)


def test_repeated_runs_have_the_same_bits(big_case: Case):
    first = results(big_case)
    for _ in range(3):
        assert_same_bits(results(big_case), first)


def test_threads_do_not_change_the_bits(big_case: Case):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread here")
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = results(big_case)
        numba.set_num_threads(2)
        two = results(big_case)
    finally:
        numba.set_num_threads(before)
    assert_same_bits(two, one)
    with single_threaded():
        assert_same_bits(results(big_case), one)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_affine_form_is_the_network(layers: int, outputs: int):
    case = case_of(3, layers=layers, outputs=outputs, gates=5).double()
    level = case.layout.levels[1]
    nodes = corner_nodes(case.coords, case.layout, level)
    upstream = torch.randn(UGLY, 8, outputs, dtype=torch.float64)
    found = []
    for form in (reference.raw_kernel_layerwise, reference.raw_kernel_affine):
        leaves = [t.detach().requires_grad_() for t in (case.coords, *case.kernel)]
        coords, kernel = leaves[0], FilterKernel(*leaves[1:]).level(1)
        features = reference.fourier_features(coords, level, case.settings)
        raw = form(features, nodes, kernel)
        inputs = [features, *leaves]
        grads = torch.autograd.grad(raw, inputs, upstream, materialize_grads=True)
        names = ("features", "coords", *FilterKernel._fields)
        found.append({"values": raw.detach(), **dict(zip(names, grads, strict=True))})
    for name, value in found[0].items():
        if value.numel():
            assert relative_rms(found[1][name], value) <= PARITY_FLOAT64, name


def inner_points(layout: GridLayout, count: int) -> Tensor:
    """Points away from the faces of all cells, where weights have kinks."""
    points = random_points(4096, layout.num_dims).double()
    inside = torch.ones(len(points), dtype=torch.bool)
    for level in layout.levels:
        fraction = scaled_position(points, level) % 1
        inside &= ((fraction > 0.02) & (fraction < 0.98)).all(1)
    assert inside.sum() >= count
    return points[inside][:count]


@pytest.fixture(params=[name for name in NORMALISERS if name != "signed_eps"])
def exact_case(request: pytest.FixtureRequest) -> Case:
    """Small, in float64. ``signed_eps`` hides from its gradient what it divides by."""
    case = case_of(
        gates=2, layers=2, num_levels=2, num_frequencies=2, normaliser=request.param
    )
    return case._replace(coords=inner_points(case.layout, 2)).double()


def tensors_of(case: Case) -> tuple[Tensor, ...]:
    leaves = (case.coords, case.table, *case.kernel)
    return tuple(tensor.detach().requires_grad_() for tensor in leaves)


def as_function(case: Case):
    def value(coords: Tensor, table: Tensor, *kernel: Tensor) -> Tensor:
        kernel = FilterKernel(*kernel)
        return mulfa_lookup(coords, table, kernel, case.layout, case.settings)

    return value


def test_first_derivatives_are_those_of_the_values(exact_case: Case):
    assert torch.autograd.gradcheck(as_function(exact_case), tensors_of(exact_case))


def test_second_derivatives_are_those_of_the_first(exact_case: Case):
    inputs = tensors_of(exact_case)
    # One random direction: all of them would take minutes.
    assert torch.autograd.gradgradcheck(
        as_function(exact_case), inputs, fast_mode=True, atol=1e-4
    )


def second_order(case: Case) -> dict[str, Tensor]:
    """Gradients of a random sum of the first gradients and the values, by name."""
    leaves = tensors_of(case)
    upstream = case.upstream.detach().requires_grad_()
    values = as_function(case)(*leaves)
    first = torch.autograd.grad(
        values, leaves, upstream, create_graph=True, materialize_grads=True
    )
    source = generator(0, "weights")
    scalar = values.sum()
    for gradient in first:
        weights = torch.randn(gradient.shape, generator=source)
        scalar = scalar + (gradient * weights).sum()
    names = ("coords", "table", *FilterKernel._fields, "upstream")
    grads = torch.autograd.grad(scalar, (*leaves, upstream), materialize_grads=True)
    return dict(zip(names, grads, strict=True))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_second_order_of_numba_is_the_references(dims: int):
    case = case_of(dims, layers=2, interpolation="quintic")
    with implementation("numba"):
        found = second_order(case)
    with implementation("reference"):
        assert_close(found, second_order(case), 2 * PARITY_FLOAT32)


def test_vmap_of_grad_is_the_gradient_of_each_point():
    case = case_of()

    def total(point: Tensor) -> Tensor:
        return (read(case._replace(coords=point[None]))[0] * case.upstream[0]).sum()

    found = vmap(grad(total))(case.coords)
    each = torch.stack([grad(total)(point) for point in case.coords])
    assert_close({"coords": found}, {"coords": each})


def test_vmap_over_points_and_tables_reads_each():
    case = case_of()
    sets = torch.stack([case.coords, case.coords.flip(0)], dim=1)
    found = vmap(lambda x: read(case._replace(coords=x)), in_dims=1)(sets)
    each = torch.stack([read(case._replace(coords=sets[:, k])) for k in range(2)])
    assert_close({"values": found}, {"values": each})
    tables = torch.stack([case.table, -case.table])
    found = vmap(lambda t: read(case._replace(table=t)))(tables)
    assert_close({"values": found}, {"values": torch.stack([each[0], -each[0]])})


def test_jacobian_for_each_parameter_is_the_references():
    case = case_of(coords=random_points(3, 2))

    def of_mix(mix: Tensor) -> Tensor:
        return read(case._replace(kernel=case.kernel._replace(mix=mix)))

    with implementation("numba"):
        found = jacrev(of_mix)(case.kernel.mix)
    with implementation("reference"):
        assert_close({"mix": found}, {"mix": jacrev(of_mix)(case.kernel.mix)})


def test_the_buffer_takes_the_gradient_of_the_table():
    case = case_of()
    coords, table, *kernel = tensors_of(case)
    expected = results(case)
    buffer = torch.ones_like(table)
    with accumulate_into({table: buffer}):
        values = as_function(case)(coords, table, *kernel)
    grads = torch.autograd.grad(
        values, (table, *kernel), case.upstream, allow_unused=True
    )
    assert grads[0] is None
    assert_close({"table": buffer - 1}, {"table": expected["table"]})
    found = dict(zip(FilterKernel._fields, grads[1:], strict=True))
    assert_same_bits(found, {name: expected[name] for name in found})


def test_a_gradient_in_the_loss_adds_nothing_to_the_buffer():
    case = case_of(interpolation="quintic")
    leaves = tensors_of(case)

    def loss() -> Tensor:
        values = as_function(case)(*leaves).sum()
        (slope,) = torch.autograd.grad(values, leaves[0], create_graph=True)
        return (slope.norm(dim=1) - 1).square().mean() + values.square()

    (expected,) = torch.autograd.grad(loss(), leaves[1])
    buffer = torch.zeros_like(leaves[1])
    with accumulate_into({leaves[1]: buffer}):
        (rest,) = torch.autograd.grad(loss(), leaves[1], allow_unused=True)
    found = buffer if rest is None else buffer + rest
    assert_close({"table": found}, {"table": expected})


def test_a_frozen_kernel_costs_no_gradient():
    case = case_of()
    table = case.table.detach().requires_grad_()
    values = read(case._replace(table=table))
    (found,) = torch.autograd.grad(values, table, case.upstream)
    assert_same_bits({"table": found}, {"table": results(case)["table"]})


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "quintic"])
@pytest.mark.parametrize("name", ["numba", "reference"])
def test_without_a_kernel_it_is_the_grid(interpolation: str, name: str):
    case = case_of(3, interpolation=interpolation)
    silent = case.kernel._replace(
        mix=torch.zeros_like(case.kernel.mix),
        offset=torch.zeros_like(case.kernel.offset),
    )
    with implementation(name):
        found = read(case._replace(kernel=silent))
        expected = grid_lookup(case.coords, case.table, case.layout)
    assert_close({"values": found}, {"values": expected})


@pytest.mark.parametrize(
    "normaliser", [name for name in AFFINE if name != "signed_eps"]
)
@pytest.mark.parametrize("name", ["numba", "reference"])
def test_weights_sum_to_one(normaliser: str, name: str):
    case = case_of(3, normaliser=normaliser, layers=2)
    with implementation(name):
        found = read(case._replace(table=torch.ones_like(case.table)))
    assert (found - 1).abs().max() < PARITY_FLOAT32


def jump(normaliser: str, name: str) -> float:
    """Largest step across an inner face of cells, over the spread of values."""
    case = case_of(normaliser=normaliser, num_levels=1, convention="align-corners")
    case = case.double() if name == "reference" else case
    face = 1 / (case.layout.levels[0].resolution - 1)
    sides = []
    for step in (-1e-6, 1e-6):
        coords = case.coords.clone()
        coords[:, 0] = face + step
        with implementation(name):
            sides.append(read(case._replace(coords=coords)))
    return float((sides[1] - sides[0]).abs().max() / sides[0].std())


@pytest.mark.parametrize("name", ["numba", "reference"])
@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_only_interpolation_weights_make_it_continuous(normaliser: str, name: str):
    if normaliser in CONTINUOUS:
        assert jump(normaliser, name) < 1e-3
    else:
        assert jump(normaliser, name) > 0.1


def test_signed_eps_is_the_sum_away_from_poles():
    raw = torch.randn(200, 4, 2, dtype=torch.float64, generator=generator(0, "raw"))
    linear = torch.full((200, 4), 0.25, dtype=torch.float64)

    def weights(normaliser: str, epsilon: float = 1e-2) -> Tensor:
        settings = KernelSettings(normaliser=normaliser, epsilon=epsilon)
        return reference.normalised_weights(raw, linear, settings)

    exact = weights("sum")
    errors = [
        float((weights("signed_eps", eps) - exact).norm() / exact.norm())
        for eps in (1e-2, 1e-4, 1e-8)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6


def test_signed_eps_stays_finite_where_the_sum_does_not():
    case = case_of(normaliser="signed_eps")
    for offset in (0.0, 1e-30):
        kernel = case.kernel._replace(
            mix=torch.zeros_like(case.kernel.mix),
            offset=torch.full_like(case.kernel.offset, offset),
        )
        for name in ("numba", "reference"):
            with implementation(name):
                found = results(case._replace(kernel=kernel))
            assert found["values"].isfinite().all()


def test_softmax_bears_large_values():
    case = case_of(normaliser="lin_softmax")
    kernel = case.kernel._replace(mix=1e3 * case.kernel.mix)
    for name in ("numba", "reference"):
        with implementation(name):
            found = results(case._replace(kernel=kernel))
        assert all(value.isfinite().all() for value in found.values())


@pytest.mark.parametrize("units", ["grid", "normalised"])
def test_fourier_features_are_exact(units: str):
    """The angle of a high octave of a large position would be off by radians."""
    layout = grid_layout(num_dims=1, num_levels=1, base_resolution=4000, growth=1)
    level, settings = layout.levels[0], KernelSettings(num_frequencies=8, units=units)
    coords = random_points(500, 1)
    found = reference.fourier_features(coords, level, settings)
    position = scaled_position(coords, level) if units == "grid" else coords
    angles = position.double() * 2.0 ** torch.arange(8) * torch.pi
    expected = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
    assert (found - expected).abs().max() < 1e-6


def test_weights_of_levels_are_those_of_the_lookup():
    case = case_of(outputs=1)
    features = []
    for index, level in enumerate(case.layout.levels):
        nodes = corner_nodes(case.coords, case.layout, level)
        weights = reference.kernel_weights(
            case.coords, nodes, case.kernel, case.layout, case.settings, index
        )
        assert weights.shape == (UGLY, 4, 1)
        linear = corner_weights(case.coords, case.layout, level)
        raw = reference.raw_kernel(
            case.coords, nodes, case.kernel, case.layout, case.settings, index
        )
        assert torch.allclose(weights, linear[:, :, None] * (1 + raw))
        rows = reference.node_rows(nodes, level)
        features.append((weights * case.table[rows]).sum(1))
    assert_close({"values": torch.cat(features, 1)}, {"values": read(case)})


def test_float64_runs_in_the_reference():
    case = case_of()
    assert read(case.double()).dtype == torch.float64
    assert used_implementations()["mulfa_lookup"] == "reference"
    with (
        implementation("numba"),
        pytest.raises(ImplementationError, match=r"coords has dtype torch\.float64"),
    ):
        read(case.double())


def test_hashes_that_only_the_reference_knows_run_there():
    case = case_of(hash_function="rng")
    assert read(case).isfinite().all()
    assert used_implementations()["mulfa_lookup"] == "reference"
    for name in ("numba", "triton"):
        with (
            implementation(name),
            pytest.raises(ImplementationError, match="hashed by 'rng'"),
        ):
            read(case)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"coords": torch.rand(5, 3)}, r"coords=\.\.\.\): expected shape \[n, 2\]"),
        ({"table": torch.rand(5, 2)}, r"rows, as the layout has, got shape \[5, 2\]"),
        ({"coords": torch.rand(5, 2).double()}, r"of one dtype, .* got torch.float64"),
    ],
)
def test_wrong_tensors_are_refused(changes: dict[str, Tensor], words: str):
    with pytest.raises(ShapeError, match=words):
        read(case_of()._replace(**changes))


@pytest.mark.parametrize("name", FilterKernel._fields[1:])
def test_wrong_parameters_are_refused(name: str):
    case = case_of(layers=2)
    wrong = getattr(case.kernel, name)[:-1]
    with pytest.raises(ShapeError, match=rf"kernel\.{name}\): expected shape \[3, "):
        read(case._replace(kernel=case.kernel._replace(**{name: wrong})))


def test_wrong_numbers_of_levels_are_refused():
    case = case_of(layers=2)
    for levels in ([], [0, 1, 2, 0]):
        kernel = FilterKernel(*(tensor[levels] for tensor in case.kernel))
        with pytest.raises(ShapeError, match=r"expected 1 to 3 levels, as the layout"):
            read(case._replace(kernel=kernel))


def test_wrong_numbers_of_outputs_and_rough_frequencies_are_refused():
    with pytest.raises(ShapeError, match=r"expected 1 output or 3, .* got 2"):
        read(case_of(channels=3, outputs=2))
    case = case_of()
    rough = case.kernel._replace(frequencies=case.kernel.frequencies.float())
    with pytest.raises(ShapeError, match=r"expected torch\.float64"):
        read(case._replace(kernel=rough))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"num_frequencies": 0}, "expected 1 to 24, got 0"),
        ({"normaliser": "max"}, "expected one of none, sum, .* got 'max'"),
        ({"units": "metre"}, "expected one of grid, normalised, got 'metre'"),
        ({"epsilon": 0.0}, "expected a positive number, got 0"),
    ],
)
def test_settings_that_make_no_kernel_are_refused(setting: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        KernelSettings(**setting)

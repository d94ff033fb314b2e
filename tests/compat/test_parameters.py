"""Parameters as PyTorch sees them: initial values, copies, dtypes, state dicts."""

import copy
import io
import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from tangrid.compat import tinycudann as tcnn
from tangrid.errors import ConfigError, ShapeError
from tangrid.seeding import generator

GRID = {"otype": "HashGrid", "n_levels": 4, "log2_hashmap_size": 8}
MLP = {"otype": "FullyFusedMLP", "n_neurons": 16, "n_hidden_layers": 2}


def models() -> dict[str, tcnn.Encoding]:
    return {
        "encoding": tcnn.Encoding(3, GRID),
        "network": tcnn.Network(3, 4, MLP),
        "both": tcnn.NetworkWithInputEncoding(3, 4, GRID, MLP),
    }


NAMES = ("encoding", "network", "both")


def points(count: int = 10) -> torch.Tensor:
    return torch.rand(count, 3, generator=generator(0, "parameters"))


def pcg32(seed: int):
    """The numbers from [0, 1) that PCG32 draws, one after the other."""
    state, word = 0, 2**64
    for extra in (seed, 0):
        state = (state * 0x5851F42D4C957F2D + 3 + extra) % word
    while True:
        mixed, turn = (((state >> 18) ^ state) >> 27) % 2**32, state >> 59
        yield ((mixed >> turn | mixed << (-turn & 31)) % 2**32 >> 9) * 2.0**-23
        state = (state * 0x5851F42D4C957F2D + 3) % word


@pytest.mark.parametrize("seed", [1337, 0, 2**40 + 7])
def test_initial_values_follow_the_generator_of_tiny_cuda_nn(seed: int):
    found = tcnn.NetworkWithInputEncoding(3, 4, GRID, MLP, seed=seed).params.detach()
    numbers = pcg32(seed)
    wanted = []
    for rows, columns in ((16, 16), (16, 16), (16, 16)):
        bound = math.sqrt(6 / (rows + columns))
        wanted += [next(numbers) * 2 * bound - bound for _ in range(rows * columns)]
    count = 4 * 256 * 2
    threads = math.ceil(count / 4 / 128) * 128
    drawn = [next(numbers) for _ in range(threads * 4)]
    # Thread i draws four numbers and puts them `threads` apart.
    table = [drawn[4 * (i % threads) + i // threads] for i in range(count)]
    wanted += [number * 2e-4 - 1e-4 for number in table]
    assert torch.allclose(found.double(), torch.tensor(wanted).double(), atol=3e-8)
    again = tcnn.NetworkWithInputEncoding(3, 4, GRID, MLP, seed=seed).params
    assert torch.equal(found, again)


def test_a_table_that_fills_no_block_of_threads():
    found = tcnn.Encoding(
        2, {"otype": "DenseGrid", "n_levels": 1, "base_resolution": 5}
    )
    numbers = pcg32(1337)
    drawn = [next(numbers) for _ in range(512)]
    wanted = [drawn[4 * i] * 2e-4 - 1e-4 for i in range(64)]
    assert torch.allclose(found.params, torch.tensor(wanted), atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_there_is_one_flat_parameter(name: str):
    model = models()[name]
    assert [key for key, _ in model.named_parameters()] == ["params"]
    assert list(model.state_dict()) == ["params"]
    assert isinstance(model.params, nn.Parameter)
    assert model.params.ndim == 1
    assert model.params.dtype == torch.float32
    assert (model.n_input_dims, model.seed) == (3, 1337)
    assert model.n_output_dims == model(points()).shape[-1]


def test_encodings_without_parameters_have_an_empty_one():
    encoding = tcnn.Encoding(2, {"otype": "OneBlob"})
    assert encoding.params.shape == (0,)
    assert list(encoding.state_dict()) == ["params"]
    torch.optim.Adam(encoding.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_copies_are_equal_and_apart(name: str):
    model = models()[name]
    copies = {
        "deepcopy": copy.deepcopy(model),
        "pickle": pickle.loads(pickle.dumps(model)),
    }
    memory = io.BytesIO()
    torch.save(model, memory)
    memory.seek(0)
    copies["torch"] = torch.load(memory, weights_only=False)
    before = model(points())
    with torch.no_grad():
        model.params.mul_(2)
    for kind, other in copies.items():
        assert torch.equal(other(points()), before), kind
        assert not torch.equal(other.params, model.params), kind


@pytest.mark.parametrize("name", NAMES)
def test_state_dicts_load_strictly(name: str):
    source, target = models()[name], models()[name]
    with torch.no_grad():
        source.params.normal_(generator=generator(0))
    target.load_state_dict(source.state_dict(), strict=True)
    assert torch.equal(source(points()), target(points()))
    with pytest.raises(RuntimeError, match="size mismatch"):
        target.load_state_dict({"params": torch.zeros(5)})


@pytest.mark.parametrize("name", NAMES)
def test_dtypes_follow_the_module(name: str):
    model = models()[name]
    with torch.no_grad():
        model.params.normal_(generator=generator(0)).mul_(0.3)
    wanted = model(points())
    assert wanted.dtype == model.dtype == torch.float32
    wide = model.double()(points())
    assert wide.dtype == model.dtype == torch.float64
    assert torch.allclose(wide.float(), wanted, atol=1e-4)
    narrow = model.half()(points())
    assert narrow.dtype == model.dtype == torch.float16
    assert model.params.dtype == torch.float16
    assert torch.allclose(narrow.float(), wanted, rtol=0.02, atol=0.02)
    assert model.float()(points()).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_an_encoding_has_the_dtype_that_was_asked_for(dtype: torch.dtype):
    encoding = tcnn.Encoding(3, GRID, dtype=dtype)
    assert encoding.dtype == encoding(points()).dtype == dtype
    assert encoding.params.dtype == torch.float32
    encoding(points()).sum().backward()
    assert encoding.params.grad is not None
    assert encoding.params.grad.dtype == torch.float32
    assert encoding.loss_scale == (128.0 if dtype == torch.float16 else 1.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int32])
def test_other_dtypes_are_refused(dtype: torch.dtype):
    with pytest.raises(
        ConfigError, match=r"expected torch\.float32, torch\.float16 or"
    ):
        tcnn.Encoding(3, GRID, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_points_of_any_dtype(name: str, dtype: torch.dtype):
    model = models()[name]
    x = points().to(dtype)
    assert torch.equal(model(x), model(x.float()))
    x.requires_grad_()
    model(x).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_any_shape(name: str):
    model = models()[name]
    x = points(12)
    wanted = model(x)
    assert torch.equal(model(x.view(3, 4, 3)), wanted.view(3, 4, -1))
    assert torch.equal(model(x[0]), model(x[:1])[0])
    assert model(x[:0]).shape == (0, model.n_output_dims)
    model(x[:0]).sum().backward()
    assert torch.equal(model(x.T.contiguous().T), wanted)


@pytest.mark.parametrize("name", NAMES)
def test_points_with_other_coordinates_are_refused(name: str):
    with pytest.raises(ShapeError, match=r"expected shape \[\.\.\., 3\], got \[5, 2\]"):
        models()[name](torch.rand(5, 2))


def test_a_module_tells_what_it_is():
    told = repr(tcnn.NetworkWithInputEncoding(3, 4, GRID, MLP))
    assert told.startswith("NetworkWithInputEncoding(n_input_dims=3, n_output_dims=4, ")
    assert "seed=1337, dtype=torch.float32, hyperparams={" in told
    assert "'log2_hashmap_size': 8" in told
    assert "'otype': 'FullyFusedMLP'" in told


def test_the_loss_scale_can_be_set():
    model = models()["both"]
    assert model.loss_scale == 1.0
    model.loss_scale = 64
    assert copy.deepcopy(model).loss_scale == 64.0
    model(points()).sum().backward()
    assert model.params.grad is not None


def test_defaults_of_pytorch_do_not_change_parameters():
    wanted = models()["both"].params
    torch.set_default_dtype(torch.float64)
    try:
        model = models()["both"]
        empty = tcnn.Encoding(2, {"otype": "OneBlob"})
    finally:
        torch.set_default_dtype(torch.float32)
    assert model.params.dtype == empty.params.dtype == torch.float32
    assert torch.equal(model.params, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_points_on_another_device_are_copied_with_a_warning(name: str):
    model = models()[name]
    with (
        pytest.warns(UserWarning, match="are on 'meta' and are copied to 'cpu'"),
        # Of 'meta' there is nothing to copy.
        pytest.raises(NotImplementedError),
    ):
        model(torch.empty(4, 3, device="meta"))


def test_autocast_is_left_outside():
    model = models()["both"]
    wanted = model(points())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(points())
    assert torch.equal(found, wanted)


def test_just_in_time_compiling_can_be_asked_for():
    """Clients write this line after every module they make."""
    model = models()["both"]
    model.jit_fusion = tcnn.supports_jit_fusion()
    assert model.jit_fusion is False
    tcnn.free_temporary_memory()


def as_tiny_cuda_nn_pickles(model: tcnn.Encoding, dtype: torch.dtype) -> dict[str, Any]:
    """What ``Module.__getstate__`` of its ``modules.py`` gives."""
    own = {"_model", "_wanted_dtype", "_loss_scale", "jit_fusion"}
    state = {key: value for key, value in vars(model).items() if key not in own}
    scale = 128.0 if dtype == torch.float16 else 1.0
    if "network_config" not in state:
        state["precision"] = dtype
    return {**state, "dtype": dtype, "loss_scale": scale}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_whole_modules_of_tiny_cuda_nn_are_opened(name: str, dtype: torch.dtype):
    model = models()[name]
    other = type(model).__new__(type(model))
    other.__setstate__(as_tiny_cuda_nn_pickles(model, dtype))
    assert torch.equal(other(points()), model(points()))
    assert repr(other) == repr(model)
    assert not hasattr(other, "precision")
    # On a CPU both are float32; half precision there was nobody's wish.
    assert other.dtype == torch.float32
    again = pickle.loads(pickle.dumps(other))
    assert torch.equal(again(points()), model(points()))
    again.params.sum().backward()


@pytest.mark.parametrize("name", NAMES)
def test_the_dtype_can_be_set(name: str):
    model = models()[name]
    for dtype in (torch.float16, torch.float32):
        model.dtype = dtype
        assert model.dtype == model(points()).dtype == dtype
        assert model.params.dtype == torch.float32
    with pytest.raises(ConfigError, match=r"dtype: expected torch.float32, .*bfloat16"):
        model.dtype = torch.bfloat16
    model.dtype = torch.float16
    assert model.double().dtype == torch.float64

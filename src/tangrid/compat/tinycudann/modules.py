"""The modules of tiny-cuda-nn's PyTorch interface, with the same names and arguments.

References:
    tiny-cuda-nn ``bindings/torch/tinycudann/modules.py`` for what is there to be found;
    Mueller 2021, "tiny-cuda-nn".
"""

import gc
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tangrid.compat.encodings import encoding_part
from tangrid.compat.evaluation import Model
from tangrid.compat.perceptron import ALIGNMENT, perceptron
from tangrid.compat.pieces import evaluate_in_pieces, suits_pieces
from tangrid.compat.reused_memory import KEPT_LAYERS
from tangrid.errors import ConfigError, ShapeError
from tangrid.ops.pcg32 import Pcg32

_LOSS_SCALES = {torch.float16: 128.0}
_DTYPES = (torch.float32, torch.float16)
_AS_IT_IS = {"otype": "Identity"}
"""What a network alone reads its inputs with."""


def free_temporary_memory() -> None:
    """Give back memory that nobody uses any more."""
    gc.collect()
    KEPT_LAYERS.clear()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def supports_jit_fusion(device: int = -1) -> bool:
    """Return False: nothing is compiled just in time.

    Args:
        device: Number of a GPU.
    """
    del device
    return False


def rtc_set_cache_dir(dir: str | Path) -> None:  # noqa: A002 (their name for it)
    """Do nothing: there is no cache of programs compiled just in time.

    Args:
        dir: Where it would be.
    """
    del dir


class Module(nn.Module):
    """A function of points with all its parameters in one flat vector.

    Args:
        model: What is computed.
        seed: Of the initial parameters.
        dtype: Of what comes out; None for float16 on a GPU and float32 elsewhere.
    """

    n_input_dims: int
    n_output_dims: int

    def __init__(
        self, model: Model, seed: int = 1337, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.seed = seed
        self.jit_fusion = False
        self._model = model
        self._wanted_dtype = dtype
        self._loss_scale: float | None = None
        initial = model.initial_params(Pcg32(seed))
        self.params = nn.Parameter(initial.to(_first_device()))

    @property
    def dtype(self) -> torch.dtype:
        """Of what comes out."""
        if self.params.dtype == torch.float64:
            return torch.float64
        if self._wanted_dtype is not None:
            return self._wanted_dtype
        if self.params.dtype == torch.float32 and self.params.is_cuda:
            return torch.float16
        return self.params.dtype

    @dtype.setter
    def dtype(self, wanted: torch.dtype) -> None:
        self._wanted_dtype = _checked(wanted, f"{type(self).__name__}.dtype")

    @property
    def loss_scale(self) -> float:
        """What tiny-cuda-nn multiplies gradients with on their way.

        It keeps half precision from vanishing, and is divided out again. Networks in
        half precision on a GPU do so here too.
        """
        if self._loss_scale is not None:
            return self._loss_scale
        return _LOSS_SCALES.get(self.dtype, 1.0)

    @loss_scale.setter
    def loss_scale(self, factor: float) -> None:
        self._loss_scale = float(factor)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was pickled, here or by tiny-cuda-nn.

        Args:
            state: Attributes; tiny-cuda-nn's have the settings, but no model.
        """
        if "_model" not in state:
            state = _from_tiny_cuda_nn(state)
        super().__setstate__(state)

    # Loops of numba are nothing that a compiler of PyTorch programs could look into.
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        """Return the values of each point.

        Args:
            x: Points, [..., n_input_dims], of any floating dtype.

        Raises:
            ShapeError: If the points have another number of coordinates.
        """
        if x.ndim < 1 or x.shape[-1] != self.n_input_dims:
            raise ShapeError(
                f"{type(self).__name__}(x): expected shape [..., {self.n_input_dims}], "
                f"got {list(x.shape)}. The number of coordinates is 'n_input_dims'."
            )
        params = self.params
        if x.device != params.device:
            warnings.warn(
                f"{type(self).__name__}: the points are on '{x.device}' and are copied "
                f"to '{params.device}', where the parameters are.",
                stacklevel=2,
            )
        points = x.to(params.device).reshape(-1, x.shape[-1])
        values = self._values(points, params)
        return values.reshape(*x.shape[:-1], self.n_output_dims)

    def _values(self, x: Tensor, params: Tensor) -> Tensor:
        # On a CPU half precision would be worse and slower.
        wide = torch.float64 if params.dtype == torch.float64 else torch.float32
        is_half = x.is_cuda and self.dtype == torch.float16
        loss_scale = self.loss_scale if is_half else None
        with torch.autocast(x.device.type, enabled=False):
            x, params = x.to(wide), params.to(wide)
            if suits_pieces(self._model, x, params):
                values = evaluate_in_pieces(self._model, x, params)
            else:
                values = self._model.evaluate(x, params, loss_scale)
        return values.to(self.dtype)

    def extra_repr(self) -> str:
        """Return sizes and settings in a line."""
        return (
            f"n_input_dims={self.n_input_dims}, n_output_dims={self.n_output_dims}, "
            f"seed={self.seed}, dtype={self.dtype}, "
            f"hyperparams={self._model.hyperparams()}"
        )


def _checked(dtype: torch.dtype | None, where: str) -> torch.dtype | None:
    """Return what is wanted to come out, if it can."""
    if dtype is not None and dtype not in _DTYPES:
        raise ConfigError(
            f"{where}: expected torch.float32, torch.float16 or None, got {dtype}. "
            "Call .double() on the module for float64."
        )
    return dtype


def _with_network(
    num_inputs: int,
    num_outputs: int,
    encoding_config: Mapping[str, object],
    network_config: Mapping[str, object],
) -> Model:
    """Return what an encoding and a network that reads its features compute."""
    encoding = encoding_part(encoding_config, num_inputs).aligned(ALIGNMENT)
    network = perceptron(network_config, encoding.output_width, num_outputs)
    return Model(encoding, network)


def _from_tiny_cuda_nn(state: dict[str, Any]) -> dict[str, Any]:
    """Return attributes of a module of tiny-cuda-nn as this library has them."""
    state = state.copy()
    # torch.half is merely what is usual there.
    is_wide = state.pop("dtype", None) == torch.float32
    state["_wanted_dtype"] = torch.float32 if is_wide else None
    state["_loss_scale"] = state.pop("loss_scale", None)
    state["jit_fusion"] = False
    # Of encodings, in a type of its compiled part; the dtype has told it.
    state.pop("precision", None)
    encoding = state.get("encoding_config", _AS_IT_IS)
    if "network_config" in state:
        state["_model"] = _with_network(
            state["n_input_dims"],
            state["n_output_dims"],
            encoding,
            state["network_config"],
        )
    else:
        state["_model"] = Model(encoding_part(encoding, state["n_input_dims"]))
    return state


def _first_device() -> torch.device:
    """Return where new parameters are put: on a GPU if there is one.

    Clients of tiny-cuda-nn rely on it and do not move its modules.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class NetworkWithInputEncoding(Module):
    """An encoding and a network that reads its features.

    Args:
        n_input_dims: Coordinates of each point.
        n_output_dims: Values of each point.
        encoding_config: JSON-style settings of the encoding.
        network_config: JSON-style settings of the network.
        seed: Of the initial parameters.

    Raises:
        ConfigError: If a setting is unknown or cannot be had.

    Example:
        >>> model = NetworkWithInputEncoding(
        ...     2, 3,
        ...     encoding_config={"otype": "HashGrid", "log2_hashmap_size": 12},
        ...     network_config={"otype": "FullyFusedMLP", "n_neurons": 16},
        ... )
        >>> model(torch.rand(5, 2, device=model.params.device)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        n_input_dims: int,
        n_output_dims: int,
        encoding_config: Mapping[str, object],
        network_config: Mapping[str, object],
        seed: int = 1337,
    ) -> None:
        model = _with_network(
            n_input_dims, n_output_dims, encoding_config, network_config
        )
        super().__init__(model, seed)
        self.n_input_dims, self.n_output_dims = n_input_dims, n_output_dims
        self.encoding_config = encoding_config
        self.network_config = network_config


class Network(Module):
    """A network that reads its inputs as they are.

    Args:
        n_input_dims: Numbers in.
        n_output_dims: Numbers out.
        network_config: JSON-style settings of the network.
        seed: Of the initial parameters.

    Raises:
        ConfigError: If a setting is unknown or cannot be had.

    Example:
        >>> network = Network(32, 16, {"otype": "FullyFusedMLP", "n_neurons": 64})
        >>> network.params.shape
        torch.Size([19456])
    """

    def __init__(
        self,
        n_input_dims: int,
        n_output_dims: int,
        network_config: Mapping[str, object],
        seed: int = 1337,
    ) -> None:
        model = _with_network(n_input_dims, n_output_dims, _AS_IT_IS, network_config)
        super().__init__(model, seed)
        self.n_input_dims, self.n_output_dims = n_input_dims, n_output_dims
        self.network_config = network_config


class Encoding(Module):
    """An encoding alone.

    Args:
        n_input_dims: Coordinates of each point.
        encoding_config: JSON-style settings of the encoding.
        seed: Of the initial parameters.
        dtype: Of the features: ``torch.float32``, ``torch.float16``, or None for
            float16 on a GPU and float32 elsewhere.

    Raises:
        ConfigError: If a setting is unknown or cannot be had.

    Example:
        >>> encoding = Encoding(3, {"otype": "SphericalHarmonics", "degree": 4})
        >>> encoding.n_output_dims
        16
    """

    def __init__(
        self,
        n_input_dims: int,
        encoding_config: Mapping[str, object],
        seed: int = 1337,
        dtype: torch.dtype | None = None,
    ) -> None:
        dtype = _checked(dtype, "Encoding(dtype=...)")
        super().__init__(
            Model(encoding_part(encoding_config, n_input_dims)), seed, dtype
        )
        self.n_input_dims = n_input_dims
        self.n_output_dims = self._model.num_outputs
        self.encoding_config = encoding_config

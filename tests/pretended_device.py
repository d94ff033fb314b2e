"""A second device made of ordinary memory, so that code for GPUs is tested without one.

Tensors on `PRETEND` hold a CPU tensor inside and give real numbers, but say that they
live elsewhere, and refuse what CUDA refuses: operands from another device, numpy, a
generator of another device, running sums where one order is asked for. Waits of the
host for the device are counted.
"""

import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.library import Library
from torch.utils import _pytree as pytree
from torch.utils._mode_utils import no_dispatch
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

aten = torch.ops.aten
_NAME = "pretend"
_COPIES = {aten.copy_, aten._to_copy, aten._copy_from_and_resize}
# CUDA takes indices of elements from the host.
_INDEXING = {aten.index, aten.index_put_, aten.index_put, aten._unsafe_index_put}
_JOINING = {aten.cat, aten.stack}
_WAITS = {aten._local_scalar_dense, aten.nonzero, aten.equal, aten.unique_dim}
_WAITS |= {aten._unique2, aten.masked_select, aten.is_nonzero}
_FACTORIES = (
    *("empty.memory_format", "empty_strided", "scalar_tensor", "zeros", "ones"),
    *("full", "arange", "arange.start", "arange.start_step", "eye", "eye.m"),
    *("linspace", "logspace", "tril_indices", "triu_indices"),
    *("rand", "rand.generator", "randn", "randn.generator"),
    *("randint", "randint.generator", "randint.low", "randint.low_generator"),
    *("randperm", "randperm.generator"),
)

_generators: set[int] = set()
waits: Counter[str] = Counter()
"""How often the host has waited for the device, by what it waited for."""


class _Backend(_DummyBackendModule):
    """What ``torch.get_device_module`` gives for the device."""

    def synchronize(self, device: object = None) -> None:
        waits["synchronize"] += 1

    def get_device_name(self, device: object = None) -> str:
        return "memory that pretends"

    def max_memory_allocated(self, device: object = None) -> int:
        return 123_000_000

    def reset_peak_memory_stats(self, device: object = None) -> None:
        return None


_setup_privateuseone_for_python_backend(_NAME, _Backend())
PRETEND = torch.device(_NAME, 0)


class PretendedGenerator(torch.Generator):
    """What ``torch.Generator`` is for as long as the fixture ``pretend`` lasts."""

    def __new__(cls, device: object = "cpu") -> "PretendedGenerator":
        made = super().__new__(cls)
        made.place = torch.device(device)
        if _is_pretended(device):
            _generators.add(made._cdata)
            # Operators see the same memory through another object of Python's.
            weakref.finalize(made, _generators.discard, made._cdata)
        return made

    @property
    def device(self) -> torch.device:
        return self.place


class Pretended(Tensor):
    """A tensor of ordinary memory that says it lives on `PRETEND`."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Pretended":
        assert not isinstance(inner, Pretended)
        assert inner.device.type == "cpu"
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=PRETEND,
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"Pretended({self.inner})"

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.cpu().numpy()
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use "
            "Tensor.cpu() to copy the tensor to host memory first."
        )

    def __array__(self, dtype: object = None) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)

    @data.setter
    def data(self, value: "Pretended") -> None:
        # As ``module.double()`` does.
        Tensor.data.__set__(self, value)
        self.inner = value.inner

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copied: Tensor = Pretended(self.inner.detach().clone())
            if isinstance(self, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied, self.requires_grad)
            memo[id(self)] = copied.requires_grad_(self.requires_grad)
        return memo[id(self)]

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        _refuse_mixtures(func, args, kwargs)
        _refuse_disorder(func, args)
        place = _place(kwargs)
        _count(func, args, place)
        return _run(func, args, kwargs, place)


def _is_pretended(device: object) -> bool:
    return device is not None and torch.device(device).type == _NAME


def _place(kwargs: dict[str, Any]) -> torch.device:
    """Take the device out of the arguments, and return where the result goes."""
    device = kwargs.get("device")
    if device is None:
        return PRETEND
    kwargs["device"] = torch.device("cpu")
    return torch.device(device)


def _refuse_mixtures(func: Any, args: tuple, kwargs: dict[str, Any]) -> None:
    operator = func.overloadpacket
    source = kwargs.get("generator")
    if source is not None and source._cdata not in _generators:
        raise RuntimeError(
            f"Expected a '{_NAME}' device type for generator but found 'cpu'"
        )
    checked = (args[0], *args[2:]) if operator in _INDEXING else args
    strangers = [
        value
        for value in pytree.tree_leaves((checked, kwargs))
        if isinstance(value, Tensor) and not isinstance(value, Pretended)
    ]
    is_changed = func._schema.is_mutable and not isinstance(args[0], Pretended)
    are_numbers = all(stranger.ndim == 0 for stranger in strangers)
    if operator in _COPIES or not strangers:
        return
    # Numbers may come from the host, except into what has memory of its own.
    if are_numbers and operator not in _JOINING and not is_changed:
        return
    raise RuntimeError(
        "Expected all tensors to be on the same device, but found at least two "
        f"devices, {PRETEND} and {strangers[0].device}! (in {func})"
    )


def _refuse_disorder(func: Any, args: tuple) -> None:
    is_summed = func.overloadpacket is aten.cumsum and args[0].is_floating_point()
    if is_summed and torch.are_deterministic_algorithms_enabled():
        raise RuntimeError(
            "cumsum_cuda_kernel does not have a deterministic implementation, but you "
            "set 'torch.use_deterministic_algorithms(True)'."
        )


def _count(func: Any, args: tuple, place: torch.device) -> None:
    operator = func.overloadpacket
    masks = [
        index
        for index in pytree.tree_leaves(args[1:2] if operator in _INDEXING else ())
        if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)
    ]
    is_filled = operator is aten.copy_ and not isinstance(args[0], Pretended)
    is_copied = operator is aten._to_copy and place.type == "cpu"
    if operator in _WAITS or masks or is_filled or is_copied:
        waits[str(operator)] += 1


def _run(func: Any, args: tuple, kwargs: dict[str, Any], place: torch.device) -> Any:
    outer: dict[int, Pretended] = {}

    def unwrap(value: Pretended) -> Tensor:
        outer[id(value.inner)] = value
        return value.inner

    def wrap(value: Tensor) -> Tensor:
        if id(value) in outer:
            return outer[id(value)]
        if not _is_pretended(place) or value is args[0]:
            return value
        return Pretended(value)

    wrapped = args
    args, kwargs = pytree.tree_map_only(Pretended, unwrap, (args, kwargs))
    found = func(*args, **kwargs)
    if torch.Tag.inplace_view in func.tags:
        _change_shape(func, wrapped)
    for changed in outer.values():
        assert changed.shape == changed.inner.shape, f"{func} changes a shape in place"
    return pytree.tree_map_only(Tensor, wrap, found)


def _change_shape(func: Any, args: tuple) -> None:
    """Let an operator such as ``squeeze_`` change what the wrapper says of itself."""
    before = torch._C._meta_in_tls_dispatch_include()
    with no_dispatch():
        torch._C._set_meta_in_tls_dispatch_include(True)
        try:
            func(*args)
        finally:
            torch._C._set_meta_in_tls_dispatch_include(before)


def _factory(name: str) -> Any:
    packet, _, overload = name.partition(".")
    func = getattr(getattr(aten, packet), overload or "default")

    def make(*args: Any, **kwargs: Any) -> Tensor:
        _refuse_mixtures(func, args, kwargs)
        kwargs["device"] = torch.device("cpu")
        kwargs["pin_memory"] = False
        return Pretended(func(*args, **kwargs))

    return make


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    # Called where PyTorch has put subclasses aside.
    pairs = [t.inner if isinstance(t, Pretended) else t for t in (target, source)]
    pairs[0].copy_(pairs[1])
    return target


_library = Library("aten", "IMPL")
for _name in _FACTORIES:
    _library.impl(_name, _factory(_name), "PrivateUse1")
_library.impl("_copy_from", _copy_from, "PrivateUse1")

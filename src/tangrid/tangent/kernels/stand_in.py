"""What stands for a large table that is not copied: its shape, without numbers."""

from typing import Any

import torch
from torch import Tensor, nn

from tangrid.errors import ConfigError


class StandIn(Tensor):
    """Refuse every operation on a table that is there in shape alone.

    Neither NaN nor the meta device does: comparisons take the one for a number, and
    some operations take what is on the other for whatever memory holds.
    """

    # Functions go straight to the operations below, which are all there are.
    __torch_function__ = torch._C._disabled_torch_function_impl  # noqa: SLF001 # pyright: ignore

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Tensor:
        """Return the same again for `detach`, which reads nothing; refuse the rest."""
        del types, kwargs
        if func is torch.ops.aten.detach.default:
            return _shape_of(args[0], args[0].dtype)
        raise ConfigError(
            "tangent_kernel(field=...): expected tables that are read row by row, got "
            f"one that {func} is called on. Copy it."
        )

    def __repr__(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the shape."""
        return f"StandIn({tuple(self.shape)}, {self.dtype})"


def stand_in(table: Tensor, dtype: torch.dtype) -> nn.Parameter:
    """Return a parameter in the shape of a table, of which nothing can be made.

    Args:
        table: What it stands for.
        dtype: Arithmetic of the module that it stands in.
    """
    return nn.Parameter(_shape_of(table, dtype), requires_grad=False)


def _shape_of(table: Tensor, dtype: torch.dtype) -> Tensor:
    make = Tensor._make_wrapper_subclass  # noqa: SLF001 # pyright: ignore
    return make(StandIn, table.shape, dtype=dtype, device=table.device)

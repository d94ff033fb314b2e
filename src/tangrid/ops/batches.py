"""Bring the batch of a vectorised call to the front."""

from torch import Tensor


def in_front(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Return a tensor with the batch in front, repeated where it has none.

    Args:
        tensor: An input of `torch.vmap`.
        dim: Its batched axis; None where all of the batch share it.
        size: Length of the batch.
    """
    if dim is None:
        return tensor.expand(size, *tensor.shape)
    return tensor.movedim(dim, 0)

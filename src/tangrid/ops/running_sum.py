"""Sums up to each place of a row, in one order where one is asked for.

PyTorch's own running sum of floating-point numbers has no fixed order on a GPU, and
raises there under `torch.use_deterministic_algorithms`.
"""

import torch
from torch import Tensor


def running_sum(values: Tensor) -> Tensor:
    r"""Return :math:`s_i = \sum_{j \le i} x_j` along the last axis.

    Args:
        values: Numbers x, [..., n].

    Example:
        >>> running_sum(torch.tensor([1.0, 2.0, 4.0]))
        tensor([1., 3., 7.])
    """
    on_cpu = values.device.type == "cpu"
    if on_cpu or not torch.are_deterministic_algorithms_enabled():
        return values.cumsum(-1)
    return doubled_sum(values)


def doubled_sum(values: Tensor) -> Tensor:
    """Return the running sum by additions of doubling reach, in an order of their own.

    There are log2(n) of them, each of all places at once.

    Args:
        values: Numbers, [..., n].

    Example:
        >>> doubled_sum(torch.tensor([1.0, 2.0, 4.0]))
        tensor([1., 3., 7.])

    References:
        Hillis and Steele 1986, "Data Parallel Algorithms".
    """
    reach = 1
    while reach < values.shape[-1]:
        shifted = torch.nn.functional.pad(values[..., :-reach], (reach, 0))
        values = values + shifted
        reach *= 2
    return values

"""Tangent kernels of fields: how gradients at points relate, and what follows.

The rooms, each standing on those after it: ``generalisation`` (Theorem 3), ``wide``
(closed forms), ``dynamics`` (Theorems 1 and 2), ``spectra``, ``kernels``, ``algebra``.
"""

from tangrid.tangent.algebra.eigensystem import Eigensystem as Eigensystem
from tangrid.tangent.kernels.building import (
    KernelImplementation as KernelImplementation,
)
from tangrid.tangent.kernels.building import tangent_kernel as tangent_kernel
from tangrid.tangent.kernels.kernel import DenseKernel as DenseKernel
from tangrid.tangent.kernels.kernel import Outputs as Outputs
from tangrid.tangent.kernels.kernel import TangentKernel as TangentKernel

"""Tangent kernels of fields: how gradients at points relate, and what follows."""

from tangrid.tangent.building import KernelImplementation as KernelImplementation
from tangrid.tangent.building import tangent_kernel as tangent_kernel
from tangrid.tangent.eigensystem import Eigensystem as Eigensystem
from tangrid.tangent.kernel import DenseKernel as DenseKernel
from tangrid.tangent.kernel import Outputs as Outputs
from tangrid.tangent.kernel import TangentKernel as TangentKernel

"""Grid-based neural fields and their tangent kernels, fast on a plain CPU.

Everything public is here: predict which field fits, build one, fit one, load one, look
at tangent kernels.
Names are imported when they are first asked for, so ``import tangrid`` is quick.

Example:
    >>> import tangrid as tg
    >>> image = tg.ImageSignal.open("astronaut", crop="32")
    >>> run = tg.fit(
    ...     image, model="instant-ngp", params=20_000, steps=3, progress=False
    ... )
    >>> run.field.num_channels
    3
    >>> import torch
    >>> tg.tangent_kernel(run.field, torch.rand(4, 2), parameters="grid").shape
    (12, 12)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tangrid.errors import ConfigError as ConfigError
from tangrid.errors import DataError as DataError
from tangrid.errors import ImplementationError as ImplementationError
from tangrid.errors import InterruptedRunError as InterruptedRunError
from tangrid.errors import NumericalError as NumericalError
from tangrid.errors import NumericalWarning as NumericalWarning
from tangrid.errors import ShapeError as ShapeError
from tangrid.errors import TangridError as TangridError
from tangrid.version import VERSION

if TYPE_CHECKING:
    from tangrid.experiments import FittedRun as FittedRun
    from tangrid.experiments import KernelAnalysis as KernelAnalysis
    from tangrid.interface import analyze as analyze
    from tangrid.interface import build as build
    from tangrid.interface import extract_mesh as extract_mesh
    from tangrid.interface import fit as fit
    from tangrid.interface import load as load
    from tangrid.predicting import predict as predict
    from tangrid.signals.image import ImageSignal as ImageSignal
    from tangrid.signals.mesh import MeshSignal as MeshSignal
    from tangrid.signals.scene import Scene as Scene
    from tangrid.tangent import tangent_kernel as tangent_kernel

__version__ = VERSION

_HOMES = {
    "FittedRun": "tangrid.experiments",
    "ImageSignal": "tangrid.signals.image",
    "KernelAnalysis": "tangrid.experiments",
    "MeshSignal": "tangrid.signals.mesh",
    "Scene": "tangrid.signals.scene",
    "analyze": "tangrid.interface",
    "build": "tangrid.interface",
    "extract_mesh": "tangrid.interface",
    "fit": "tangrid.interface",
    "load": "tangrid.interface",
    "predict": "tangrid.predicting",
    "tangent_kernel": "tangrid.tangent",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Return a public name, imported when it is first asked for."""
    if name not in _HOMES:
        message = f"module 'tangrid' has no attribute '{name}'"
        raise AttributeError(message)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *_HOMES})

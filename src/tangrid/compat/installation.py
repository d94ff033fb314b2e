"""Let ``import tinycudann`` find the modules of this library."""

import importlib
import sys
from importlib.util import find_spec

from tangrid.errors import ConfigError

_NAME = "tinycudann"
_OURS = "tangrid.compat.tinycudann"


def install_tinycudann(*, replace: bool = False) -> None:
    """Make ``import tinycudann as tcnn`` give `tangrid.compat.tinycudann`.

    Call it before anything imports tinycudann. It holds for this process, and calling
    it again changes nothing.

    Args:
        replace: Whether to stand in front of a tiny-cuda-nn that is installed or was
            imported. What has imported it before keeps what it has.

    Raises:
        ConfigError: If another tinycudann is there and is not to be replaced.

    Example:
        >>> install_tinycudann(replace=True)
        >>> import tinycudann as tcnn
        >>> tcnn.Encoding(2, {"otype": "Identity"}).n_output_dims
        2
    """
    ours = importlib.import_module(_OURS)
    if sys.modules.get(_NAME) is ours:
        return
    if not replace and (_NAME in sys.modules or find_spec(_NAME) is not None):
        raise ConfigError(
            "install_tinycudann(replace=False): expected no other tinycudann, got one "
            "that is installed. Leave the call out to use it, or give replace=True to "
            "use tangrid in its place."
        )
    sys.modules[_NAME] = ours
    sys.modules[f"{_NAME}.modules"] = importlib.import_module(f"{_OURS}.modules")

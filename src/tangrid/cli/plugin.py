"""Run a Python file that registers components of its own."""

import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from tangrid.errors import ConfigError, DataError, TangridError


def load_plugin(path: str | None) -> None:
    """Run a plugin, so that what it registers has a name.

    Args:
        path: The file; None for no plugin.

    Raises:
        ConfigError: If it does not run.
        DataError: If there is no such file.
    """
    if path is None:
        return
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(
            f"--plugin {path}: expected a Python file, got "
            f"{'a folder' if file.is_dir() else 'a path where there is none'}. Check "
            "the spelling and the folder that the path starts from."
        )
    name = f"tangrid_plugin_{file.stem}"
    loader = SourceFileLoader(name, str(file))
    spec = spec_from_loader(name, loader)
    if spec is None:
        raise ConfigError(f"--plugin {path}: expected a Python file. Name another.")
    module = module_from_spec(spec)
    # Annotations are looked up in the module that a class says it is from.
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except TangridError as error:
        raise ConfigError(f"--plugin {path}{_line(error, file)}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"--plugin {path}{_line(error, file)}: expected a Python file that runs, "
            f"got {type(error).__name__}: {_what(error)}. Mend it; --debug "
            "shows how it came to that."
        ) from error


def _what(error: BaseException) -> str:
    # A syntax error would say file and line once more.
    return error.msg if isinstance(error, SyntaxError) else str(error)


def _line(error: BaseException, file: Path) -> str:
    """Return where in the file an error arose."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}" if error.lineno else ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return f", line {lines[-1]}" if lines else ""

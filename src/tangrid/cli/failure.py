"""Turn every failure into one paragraph and an exit code."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

from tangrid.errors import NumericalWarning, TangridError

INTERRUPTED = 130
FAILED = 1


def guarded(action: Callable[[], int], *, debug: bool = False) -> int:
    """Return the exit code of an action; what goes wrong is said in words.

    Args:
        action: What to do; returns an exit code.
        debug: Whether to show tracebacks.
    """
    _prepare_streams()
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = action()
            # Here, where a reader who has gone away can still be noticed.
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = _tell("Interrupted.", INTERRUPTED, debug)
        except BrokenPipeError:
            code = _leave_quietly()
        except TangridError as error:
            code = _tell(str(error), error.exit_code, debug)
        except MemoryError:
            code = _tell(_out_of_memory(), FAILED, debug)
        except Exception as error:
            code = _tell(_unexpected(error), FAILED, debug)
        return code


def _prepare_streams() -> None:
    """Let no letter of a file name stop the program where a terminal lacks it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _tell(text: str, code: int, debug: bool) -> int:
    with suppress(OSError):
        if debug:
            traceback.print_exc()
        print(f"tangrid: {text}", file=sys.stderr)
    return code


def _leave_quietly() -> int:
    # What is still buffered has no reader; Python would complain of it at its end.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    return FAILED


def _unexpected(error: Exception) -> str:
    if "can't allocate memory" in str(error):
        return _out_of_memory()
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return (
        f"an error that nobody expected ({what}). This is a bug in tangrid; repeat the "
        "command with --debug to see where it happened, and report that."
    )


def _out_of_memory() -> str:
    return (
        "expected enough memory for this, got none left. Lower --params, --batch-size "
        "or --threads; make an image smaller with --crop or --downscale; for a shape "
        "lower --points, --resolution or --width."
    )


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del file, line
    where = "" if issubclass(category, NumericalWarning) else f" ({filename}:{lineno})"
    with suppress(OSError):
        print(f"tangrid: note: {message}{where}", file=sys.stderr)

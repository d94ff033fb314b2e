"""What must start at once loads neither torch nor numba."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "numba")


@pytest.mark.parametrize(
    "entry",
    [
        "tangrid",
        "tangrid.cli.main",
        "tangrid.errors",
        "tangrid.registry",
        "tangrid.reports",
        "tangrid.runs",
    ],
)
def test_import_is_light(entry: str):
    code = (
        f"import sys, {entry}\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.split() == []

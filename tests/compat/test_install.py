"""`import tinycudann` finds the drop-in after it was asked for, and only then."""

import subprocess
import sys
from pathlib import Path

import pytest

FOREIGN = "class Encoding: ...\n"


def run(code: str, path: Path | None = None) -> str:
    paths = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", paths + code],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with another tinycudann."""
    (tmp_path / "tinycudann.py").write_text(FOREIGN)
    return tmp_path


def test_clients_find_it():
    code = """
from tangrid.compat import install_tinycudann
install_tinycudann()
install_tinycudann()
import tinycudann as tcnn
from tinycudann.modules import Module
import tangrid.compat.tinycudann as ours
assert tcnn is ours and issubclass(tcnn.Network, Module)
print(*sorted(tcnn.__all__))
"""
    assert run(code) == (
        "Encoding Network NetworkWithInputEncoding free_temporary_memory "
        "supports_jit_fusion"
    )


@pytest.mark.parametrize(
    "first", ["", pytest.param("import tinycudann\n", marks=pytest.mark.slow)]
)
def test_another_one_is_not_replaced_unasked(foreign: Path, first: str):
    code = (
        first
        + """
from tangrid.compat import install_tinycudann
try:
    install_tinycudann()
except ValueError as error:
    print(error)
import tinycudann
assert not hasattr(tinycudann, "Network")
"""
    )
    assert run(code, foreign) == (
        "install_tinycudann(replace=False): expected no other tinycudann, got one that "
        "is installed. Leave the call out to use it, or give replace=True to use "
        "tangrid in its place."
    )


@pytest.mark.slow
def test_another_one_is_replaced_where_that_is_asked_for(foreign: Path):
    code = """
import tinycudann
from tangrid.compat import install_tinycudann
install_tinycudann(replace=True)
import tinycudann as tcnn
print(tcnn.Network.__module__)
"""
    assert run(code, foreign) == "tangrid.compat.tinycudann.modules"


def test_it_can_be_imported_by_its_own_name():
    code = """
import tangrid.compat.tinycudann as tcnn
try:
    import tinycudann
    raise SystemExit("it was installed unasked")
except ImportError:
    pass
print(tcnn.Encoding(2, {"otype": "Identity"}))
"""
    assert run(code).startswith("Encoding(n_input_dims=2, n_output_dims=2, seed=1337")

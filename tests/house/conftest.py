"""What the house tests look at: the modules and the tracked files."""

import subprocess
from pathlib import Path

import pytest

from tests.house.places import PACKAGE, ROOT


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "module" in metafunc.fixturenames:
        metafunc.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=name_of)
    if "operator" in metafunc.fixturenames:
        metafunc.parametrize("operator", operator_folders(), ids=name_of)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def operator_folders() -> list[Path]:
    """Folders of `ops` that hold code."""
    return sorted({path.parent for path in PACKAGE.glob("ops/*/*.py")})


@pytest.fixture(scope="session")
def tracked_files() -> list[Path]:
    """Every file that git tracks."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip(f"git lists no files here: {listing.stderr.strip()}")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]

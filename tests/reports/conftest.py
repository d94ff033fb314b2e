"""Run folders that tests may change; each is made once and copied."""

import shutil
from pathlib import Path

import pytest

from tests.reports.fake_runs import write_comparison, write_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    write_run(folder)
    return folder


@pytest.fixture(scope="session")
def finished_comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "comparison"
    write_comparison(folder)
    return folder


@pytest.fixture
def run_folder(tmp_path: Path, finished_run: Path) -> Path:
    """The folder of a finished run."""
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture
def comparison_folder(tmp_path: Path, finished_comparison: Path) -> Path:
    """The folder of a finished comparison."""
    return shutil.copytree(finished_comparison, tmp_path / "comparison")

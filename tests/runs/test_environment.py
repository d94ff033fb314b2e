import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tangrid.runs import environment
from tangrid.runs.environment import describe_environment
from tangrid.runs.plain_json import to_json
from tangrid.version import VERSION


def test_it_tells_the_machine():
    told = describe_environment()
    assert json.loads(to_json(told)) == told
    assert told["tangrid"] == VERSION
    assert told["versions"]["torch"].startswith("2.")
    assert told["cores"] >= told["cores_usable"] >= 1
    assert told["memory_gb"] > 0
    assert datetime.fromisoformat(told["time"]).utcoffset().total_seconds() == 0


def test_it_imports_nothing_heavy():
    code = (
        "import sys, tangrid.runs as runs; runs.describe_environment();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numba', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_survives_a_bare_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(environment, "PACKAGES", ("no-such-package",))
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.delattr("os.sysconf", raising=False)
    monkeypatch.setattr(environment, "Path", lambda _: Path("/no/such/file/on/any"))
    told = describe_environment()
    assert told["versions"] == {"no-such-package": None}
    assert told["memory_gb"] is None
    assert told["commit"] is None
    assert told["dirty"] is None


def test_the_commit_is_that_of_our_checkout(monkeypatch: pytest.MonkeyPatch):
    root = Path(environment.__file__).parents[3]
    is_checkout = (root / ".git").exists()
    monkeypatch.setenv("GIT_DIR", "no-such-folder")
    told = describe_environment()
    assert len(told["commit"] or "") == (40 if is_checkout else 0)
    assert told["dirty"] in ((True, False) if is_checkout else (None,))

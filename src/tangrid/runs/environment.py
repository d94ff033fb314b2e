"""Where a run happens: machine, versions and commit, without importing any of them."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tangrid.version import VERSION

PACKAGES = ("torch", "numpy", "numba", "llvmlite", "scipy", "triton", "safetensors",
            "pillow", "scikit-image", "matplotlib", "tifffile", "OpenEXR")  # fmt: skip
"""Packages whose version can change a result or a picture."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables that limit the threads of the libraries below us."""


def describe_environment() -> dict[str, Any]:
    """Describe where a run happens.

    Returns:
        Plain values for ``environment.json``; null for what this system does not tell.
    """
    return {
        "tangrid": VERSION,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": _usable_cores(),
        "memory_gb": _memory_gb(),
        "thread_variables": {
            name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ
        },
        **_describe_checkout(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        for key in ("model name", "Model", "Hardware", "cpu model"):
            for line in lines:
                if line.startswith(key) and ":" in line:
                    return line.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        return _ask("sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or None


def _usable_cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_gb() -> float | None:
    try:
        num_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(num_bytes / 2**30, 1) if num_bytes > 0 else None


def _describe_checkout() -> dict[str, Any]:
    root = Path(__file__).resolve().parents[3]
    # An installed package may lie inside the checkout of another project.
    is_ours = (root / ".git").exists() and (root / "src" / "tangrid").is_dir()
    commit = _ask("git", "-C", str(root), "rev-parse", "HEAD") if is_ours else None
    if commit is None:
        return {"commit": None, "dirty": None}
    changes = _ask(
        "git", "--no-optional-locks", "-C", str(root), "status", "--porcelain"
    )
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _ask(*command: str) -> str | None:
    """Return what a program prints, or nothing if it is absent, fails or hangs."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            check=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()

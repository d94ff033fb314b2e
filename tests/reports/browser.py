"""Opens a page in a real browser that knows no network and keeps no profile."""

import os
import shutil
import subprocess
from pathlib import Path

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def browse(page: Path, folder: Path, *flags: str) -> str:
    """Open a page; returns what the browser printed."""
    browser = shutil.which("chromium")
    assert browser is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [browser, *_FLAGS, profile, *flags, page.as_uri()],
        check=True,
        capture_output=True,
        env=os.environ | {"HOME": str(folder)},
        timeout=120,
    )
    return done.stdout.decode()

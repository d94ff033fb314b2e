"""Tracked files hold for every machine, not for the one they were written on."""

import re
from pathlib import Path

from tests.house.places import ROOT

# A bracket in each word, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.*~-])/([w]ork|[t]mp|[h]ome|[r]oot)(/|\b(?![\w-]))")


def test_pattern_finds_machine_paths():
    here = "/".join(["", "home", "somebody", "photo.png"])
    assert MACHINE_PATH.search(f"open {here}")
    assert not MACHINE_PATH.search("https://example.org/homepage")
    assert not MACHINE_PATH.search(f"../shared{here}")


def test_no_machine_paths(tracked_files: list[Path]):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:60]}"
        for path in tracked_files
        for number, line in enumerate(lines_of(path), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


def lines_of(path: Path) -> list[str]:
    """Lines of a text file; none for anything else."""
    data = path.read_bytes()
    if b"\0" in data:
        return []
    return data.decode("utf-8", errors="replace").splitlines()

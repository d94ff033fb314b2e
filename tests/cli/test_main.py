"""The door of the command line: quick, light, and clear about its verbs."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tangrid.cli.main import overview
from tangrid.cli.verbs import VERBS
from tangrid.version import VERSION
from tests.cli.conftest import Type

HEAVY = ("torch", "numba", "scipy", "matplotlib", "PIL")
QUICK = ["--help", "--version", *(f"{verb.name} --help" for verb in VERBS)]


def in_a_process(
    *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tangrid.cli.main", *words],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, **(environment or {})},
    )


@pytest.mark.parametrize("command", QUICK)
def test_questions_import_nothing_heavy(command: str):
    code = f"""
import atexit, sys
show = lambda: print([n for n in {HEAVY} if n in sys.modules], file=sys.stderr)
atexit.register(show)
from tangrid.cli.main import main
sys.exit(main({command.split()}))
"""
    asked = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True
    )
    assert (asked.returncode, asked.stderr.strip()) == (0, "[]")


@pytest.mark.parametrize("command", QUICK)
def test_questions_are_answered_in_half_a_second(command: str):
    # Processor time, and three tries: others may keep the machine busy.
    def spent() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert in_a_process(*command.split()).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert any(spent() < 0.5 for _ in range(3))


def test_version(tangrid: Type):
    assert tangrid("--version").out == f"tangrid {VERSION}\n"


def test_overview(tangrid: Type):
    asked = tangrid("--help")
    assert asked.code == 0
    assert asked.out.strip() == overview()
    assert all(verb.name in asked.out for verb in VERBS)
    assert max(len(line) for line in asked.out.splitlines()) <= 80
    assert tangrid("fit", "--help") == asked


def test_no_verb_is_wrong_use(tangrid: Type):
    outcome = tangrid()
    assert (outcome.code, outcome.out) == (2, "")
    assert overview() in outcome.err


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_help_of_a_verb(verb, tangrid: Type):
    asked = tangrid(*verb.words, "--help")
    assert asked.code == 0
    assert f"usage: tangrid {verb.name}" in asked.out
    assert max(len(line) for line in asked.out.splitlines()) <= 82
    assert "None" not in asked.out


def test_terminal_without_unicode(workplace: Path):
    (workplace / "wave.png").rename("wäve.png")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    for words in (["fit", "image", "--help"], ["fit", "image", "wäve"]):
        told = in_a_process(*words, environment=plain)
        assert told.returncode in (0, 2)
        assert (told.stdout + told.stderr).isascii()
        assert "bug" not in told.stderr


def test_reader_who_leaves_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    told = subprocess.run(
        [sys.executable, "-m", "tangrid.cli.main", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        text=True,
    )
    os.close(writer)
    assert told.stderr == ""

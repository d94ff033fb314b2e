"""Every example still runs and draws the picture that stands in the documents."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_draws_its_picture(example: Path, tmp_path: Path):
    target = tmp_path / "picture.png"
    done = subprocess.run(
        [sys.executable, example, target], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with Image.open(target) as picture:
        assert min(picture.size) > 200


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_document_tells_of_the_example(example: Path):
    assert any(example.name in page.read_text("utf-8") for page in DOCUMENTS)

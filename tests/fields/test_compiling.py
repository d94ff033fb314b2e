"""`torch.compile` leaves a field's numbers as they are.

In processes of their own: what checks shapes in tests cannot be compiled.
"""

import subprocess
import sys

import pytest

COMPILE = """
import sys, torch, tangrid

def results(model, coords):
    values = model(coords)
    trained = [p for p in field.parameters() if p.requires_grad]
    return [values, *torch.autograd.grad(values.square().sum(), trained)]

for name in sys.argv[2:]:
    field = tangrid.build(
        name, num_dims=2, num_channels=3, params=20_000, resolution=(64, 64)
    )
    torch.compiler.reset()
    compiled = torch.compile(field, backend=sys.argv[1])
    for count in (100, 7):
        coords = torch.rand(count, 2)
        for found, expected in zip(results(compiled, coords), results(field, coords)):
            torch.testing.assert_close(found, expected)
    print(name)
"""
ALL = ["instant-ngp", "mulfagrid", "siren", "neurbf"]
LOOK = """
import sys, torch, tangrid
field = tangrid.build("instant-ngp", num_dims=2, num_channels=1)
field(torch.rand(3, 2))
print("torch._dynamo" in sys.modules)
"""


def printed(script: str, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("backend", "models"),
    [
        ("aot_eager", ["instant-ngp"]),
        *(
            pytest.param(backend, ALL, marks=pytest.mark.slow)
            for backend in ("eager", "aot_eager")
        ),
    ],
)
def test_compiled_fields_give_the_same(backend: str, models: list[str]):
    assert printed(COMPILE, backend, *models) == models


def test_the_compiler_is_not_imported_for_those_who_do_not_compile():
    assert printed(LOOK) == ["False"]

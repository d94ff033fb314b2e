"""Learn a picture with ``import tinycudann``, on whatever machine this is.

Makes a picture like that of docs/tinycudann.md:
``python examples/16_tinycudann_client.py OUT.png``.
"""

import math
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from tangrid.compat import install_tinycudann

install_tinycudann(replace=True)

import tinycudann as tcnn  # noqa: E402  # pyright: ignore[reportMissingImports]

STEPS, BATCH, SIDE = 150, 2**12, 128

ENCODING = {
    "otype": "HashGrid",
    "n_levels": 12,
    "n_features_per_level": 2,
    "log2_hashmap_size": 14,
    "base_resolution": 8,
    "per_level_scale": 1.35,
}
NETWORK = {
    "otype": "FullyFusedMLP",
    "activation": "ReLU",
    "output_activation": "None",
    "n_neurons": 32,
    "n_hidden_layers": 2,
}


def rings(points: Tensor) -> Tensor:
    """Return a picture as a function: coloured rings that get finer outwards."""
    distance = (points - 0.5).norm(dim=1, keepdim=True)
    phases = torch.tensor([0.0, 2.0, 4.0], device=points.device)
    return 0.5 + 0.5 * torch.cos(2 * math.pi * 30 * distance**1.5 + phases)


def main(target: Path) -> None:
    """Train a network on random points of the picture, and draw both."""
    model = tcnn.NetworkWithInputEncoding(2, 3, ENCODING, NETWORK)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, eps=1e-15)
    device = model.params.device
    for _ in range(STEPS):
        points = torch.rand(BATCH, 2, device=device)
        loss = (model(points).float() - rings(points)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    centres = (torch.arange(SIDE, device=device) + 0.5) / SIDE
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack((x, y), dim=2)
    with torch.no_grad():
        fit = model(points).float().clamp(0, 1)
    truth = rings(points.view(-1, 2)).view_as(fit)
    psnr = -10 * math.log10(float((fit - truth).square().mean()))
    figure = Figure(figsize=(7, 3.7), layout="constrained")
    names = ("picture", f"after {STEPS} steps, {psnr:.1f} dB")
    axes = figure.subplots(1, 2)
    for axis, image, name in zip(axes, (truth, fit), names, strict=True):
        axis.imshow(image.cpu().numpy())
        axis.set_title(name)
        axis.axis("off")
    figure.savefig(target, dpi=120)
    print(f"{psnr:.1f} dB after {STEPS} steps")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tinycudann_client.png"))

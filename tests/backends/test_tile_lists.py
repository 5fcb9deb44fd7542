"""Lists of splats by tile whose length only the GPU knows."""

from __future__ import annotations

import emulated
import pytest
import synthetic
import torch
from drawing import rasterized

from gaborsplat.renderer.backends.base import Backend
from gaborsplat.renderer.backends.cpu import CpuBackend
from gaborsplat.renderer.backends.memory import FRESH
from gaborsplat.renderer.backends.registry import backend_for
from gaborsplat.renderer.backends.stages import Projected, SplatsToBin
from gaborsplat.renderer.raster.inputs import project_options
from gaborsplat.renderer.raster.render import render, render_bytes
from gaborsplat.renderer.settings import RenderSettings

pytestmark = pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("remembered", [0.0, 1.0, 40.0, 1e6])
def test_a_picture_does_not_depend_on_what_earlier_ones_needed(remembered: float, packed: bool):
    splats, camera = synthetic.cloud(60, 1), synthetic.camera()

    def pictures() -> list[torch.Tensor]:
        leaves = splats.map(lambda tensor: tensor.detach().requires_grad_())
        frame = render(leaves, camera)
        frame.color.square().sum().backward()
        color, _, info = rasterized(splats, [camera] * 2, packed=packed)
        gradients = [tensor.grad for tensor in leaves.tensors().values()]
        bytes_ = render_bytes(splats, camera)
        return [frame.color, frame.depth, bytes_, color, info["isect_ids"], *gradients]

    with emulated.emulated_cuda() as backend:
        expected = pictures()
        needed = backend.lister.needed
        assert len(needed) == 2  # one camera, and two
        needed.update(dict.fromkeys(needed, remembered))
        found = pictures()
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


class NotedNeeds(dict[tuple[object, ...], float]):
    """Notes when a number of pairs is read, which waits for a GPU."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def __setitem__(self, key: tuple[object, ...], value: float) -> None:
        self._events.append("wait")
        super().__setitem__(key, value)


def test_the_second_picture_of_a_size_does_not_wait_before_all_is_queued():
    splats, camera, emulator = synthetic.cloud(60, 1), synthetic.camera(), emulated.Emulator()
    events = emulator.launched
    with emulated.emulated_cuda(emulator) as backend:
        backend.lister.needed = NotedNeeds(events)
        render(splats, camera)
        first, events[:] = list(events), []
        render(splats, camera)
    assert first.index("wait") < first.index("list_tiles")
    assert events.index("wait") > events.index("blend")
    assert events.count("wait") == 1


def ellipses(n: int, size: tuple[int, int]) -> Projected:
    """Splats from specks to needles longer than the picture, as projection would leave them."""
    means = (torch.rand(n, 2) * 1.4 - 0.2) * torch.tensor(size)
    sigmas = 0.55 * 10 ** (3.5 * torch.rand(n, 2))  # [px]
    angles, opacities = torch.pi * torch.rand(n), 0.01 + 0.98 * torch.rand(n)
    axes = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], -1)
    axes = axes.view(n, 2, 2).double()
    conic = axes @ torch.diag_embed(sigmas.double() ** -2) @ axes.mT
    conics = torch.stack([conic[:, 0, 0], conic[:, 0, 1], conic[:, 1, 1]], -1).float()
    cutoffs = (255 * opacities).log() * 1.0001 + 1e-3  # as compositing.h has it
    covariance = conic.inverse()
    extents = torch.stack([covariance[:, 0, 0], covariance[:, 1, 1]], -1)
    radii = (2 * cutoffs[:, None] * extents).sqrt().ceil().int()
    visible, waves = torch.ones(n, dtype=torch.uint8), torch.empty(n, 0)
    depths = torch.rand(n) + 1
    parts = (visible, radii, means, depths, conics, opacities, cutoffs, waves)
    return Projected(*(part[None] for part in parts))


def seen_tiles(projected: Projected, size: tuple[int, int]) -> torch.Tensor:
    """Where each splat reaches alpha_min at some pixel, [n, down, across]."""
    width, height = size
    columns, rows = torch.arange(width) + 0.5, torch.arange(height)[:, None] + 0.5
    found: list[torch.Tensor] = []
    for mean, conic, opacity in zip(
        projected.means2d[0], projected.conics[0].double(), projected.opacities[0], strict=True
    ):
        x, y = columns - mean[0].double(), rows - mean[1].double()
        power = 0.5 * (conic[0] * x**2 + conic[2] * y**2) + conic[1] * x * y
        seen = opacity * (-power).exp() >= 1 / 255
        padded = torch.nn.functional.pad(seen, (0, -width % 16, 0, -height % 16))
        found.append(padded.unfold(0, 16, 16).unfold(1, 16, 16).any(dim=-1).any(dim=-1))
    return torch.stack(found)


def listed_tiles(projected: Projected, size: tuple[int, int], backend: Backend) -> torch.Tensor:
    """Which tiles each splat is listed in, [n, down, across]."""
    splats = SplatsToBin(
        projected, projected.visible, size, project_options(RenderSettings()), True, False
    )
    tiles = backend.bin(splats, FRESH).trimmed()
    across, down = (-(-pixels // 16) for pixels in size)
    found = torch.zeros(projected.depths.shape[1], down * across, dtype=torch.bool)
    tile = torch.arange(down * across).repeat_interleave(tiles.offsets.diff())
    found[tiles.splat_ids.long(), tile] = True
    assert int(found.sum()) == len(tile), "no pair comes twice"
    return found.view(-1, down, across)


@pytest.mark.slow
def test_a_splat_is_listed_in_every_tile_that_it_is_seen_in_and_in_few_others(
    device: torch.device,
):
    size = (2003, 1201)
    torch.manual_seed(2)  # has a needle that is cut short by a determinant found in float
    projected = ellipses(400, size)
    listed = listed_tiles(projected, size, backend_for(device))
    some = projected.map(lambda tensor: tensor[:, :50])
    needed = seen_tiles(some, size)
    assert not (needed & ~listed[:50]).any()
    # The box around the ellipse's part in a row of tiles, not the ellipse itself, is what counts.
    assert int(listed[:50].sum()) <= 1.2 * int(needed.sum())
    double = [t.double() if t.is_floating_point() else t for t in projected.tensors()]
    exact = listed_tiles(Projected(*double), size, CpuBackend())
    assert not (exact & ~listed).any()
    assert int(listed.sum()) <= 1.001 * int(exact.sum())

"""Lists of splats by tile whose length only the GPU knows."""

from __future__ import annotations

import emulated
import pytest
import synthetic
import torch
from drawing import rasterized

from renderer import cuda_tiles
from renderer.render import render, render_bytes

pytestmark = pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[object, ...], float]:
    """What the backend remembers of earlier pictures: nothing yet."""
    fresh: dict[tuple[object, ...], float] = {}
    monkeypatch.setattr(cuda_tiles, "_needed", fresh)
    return fresh


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("remembered", [0.0, 1.0, 40.0, 1e6])
def test_a_picture_does_not_depend_on_what_earlier_ones_needed(
    remembered: float, packed: bool, needed: dict[tuple[object, ...], float]
):
    splats, camera = synthetic.cloud(60, 1), synthetic.camera()

    def pictures() -> list[torch.Tensor]:
        leaves = splats.map(lambda tensor: tensor.detach().requires_grad_())
        frame = render(leaves, camera)
        frame.color.square().sum().backward()
        color, _, info = rasterized(splats, [camera] * 2, packed=packed)
        gradients = [tensor.grad for tensor in leaves.tensors().values()]
        bytes_ = render_bytes(splats, camera)
        return [frame.color, frame.depth, bytes_, color, info["isect_ids"], *gradients]

    with emulated.emulated_cuda():
        expected = pictures()
        assert len(needed) == 2  # one camera, and two
        needed.update(dict.fromkeys(needed, remembered))
        found = pictures()
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_the_second_picture_of_a_size_does_not_wait_before_all_is_queued(
    monkeypatch: pytest.MonkeyPatch,
):
    splats, camera = synthetic.cloud(60, 1), synthetic.camera()
    events: list[str] = []
    run, reader = cuda_tiles.run, cuda_tiles._reader

    def noted_run(source: str, name: str, *arguments: object, **options: object) -> None:
        events.append(name)
        run(source, name, *arguments, **options)  # type: ignore[arg-type]

    def noted_reader(*arguments: object) -> object:
        length = reader(*arguments)  # type: ignore[arg-type]
        return lambda: (events.append("wait"), length())[1]

    monkeypatch.setattr(cuda_tiles, "_reader", noted_reader)
    monkeypatch.setattr(cuda_tiles, "run", noted_run)
    monkeypatch.setattr("renderer.cuda.run", noted_run)
    with emulated.emulated_cuda():
        render(splats, camera)
        first, events[:] = list(events), []
        render(splats, camera)
    assert first.index("wait") < first.index("list_tiles")
    assert events.index("wait") > events.index("blend")
    assert events.count("wait") == 1

"""Tensors that are on a GPU themselves: where everything else must be, and on which thread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import pytest
import synthetic
import torch
from drawing import rasterized
from fitting import small_capture

from gaborsplat.renderer._native import CatchUpArguments, constants
from gaborsplat.renderer.backends.cuda.launcher import open_driver
from gaborsplat.renderer.raster.render import render, render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training import TrainConfig, Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SETTINGS = RenderSettings(background=(0.1, 0.2, 0.3))


def cloud(waves: int) -> Any:
    return synthetic.cloud(80, waves, degree=2, seed=3).to(torch.float32)


def camera() -> Any:
    return synthetic.camera(dtype=torch.float32)


def test_a_picture_and_its_gradient_are_the_cpus(waves: int):
    results: list[dict[str, torch.Tensor]] = []
    for device in ("cpu", "cuda"):
        splats = cloud(waves).to(device).map(lambda t: t.detach().requires_grad_())
        frame = render(splats, camera().to(device), SETTINGS)
        (frame.color.square().sum() + frame.depth.sum() + frame.alpha.sum()).backward()
        found = {name: t.grad for name, t in splats.tensors().items() if t.numel()}
        results.append({name: t.cpu() for name, t in (found | vars(frame)).items()})
    for name, expected in results[0].items():
        difference = (results[1][name] - expected).abs().amax()
        assert difference < 1e-4 * expected.abs().amax(), name


def test_bytes_are_the_cpus(waves: int):
    expected = render_bytes(cloud(waves), camera(), SETTINGS)
    found = render_bytes(cloud(waves).to("cuda"), camera().to("cuda"), SETTINGS).cpu()
    assert (found.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("packed", [False, True])
def test_gsplats_face_draws_features_too(packed: bool):
    splats, cameras = cloud(2).to("cuda"), [camera().to("cuda")] * 2
    features = torch.rand(len(splats), 9, device="cuda")
    color, _, info = rasterized(splats, cameras, packed=packed)
    assert color.isfinite().all()
    assert info["isect_ids"].is_cuda
    image, _, _ = rasterized(splats, cameras, packed=packed, colors=features, sh_degree=None)
    assert image.shape[-1] == 9
    with pytest.raises(ValueError, match="on cpu"):
        rasterized(splats, cameras, packed=packed, colors=features.cpu(), sh_degree=None)


def test_recorded_pictures_are_those_that_are_drawn_anew():
    splats = cloud(2).to("cuda")

    def shown(splats: Splats, turn: float) -> torch.Tensor:
        pose = camera().world_to_camera.clone()
        pose[0, 3] += turn
        return render_bytes(splats, replace(camera(), world_to_camera=pose)).cpu()

    for turn in (0.0, 0.3, -0.2, 0.1, 0.0):
        assert torch.equal(shown(splats, turn), shown(splats.map(torch.clone), turn))
    splats.opacities.mul_(0.3)
    assert torch.equal(shown(splats, 0.0), shown(splats.map(torch.clone), 0.0))


def test_the_driver_makes_graphs():
    values, missed = torch.ones(1000, device="cuda"), torch.zeros(1000, device="cuda")
    arguments = CatchUpArguments(
        splats=1000,
        size=1,
        steps=1000,
        beta1=0.9,
        beta2=0.999,
        missed=missed,
        counters=torch.full((constants.STEP_COUNTERS,), 1000, device="cuda"),
        last_steps=torch.arange(1000, dtype=torch.int32, device="cuda"),
        values=values,
        quotients=torch.full((1000,), 105, dtype=torch.uint8, device="cuda"),  # 105 is 1
    )
    program = open_driver().record([("catch_up", arguments)] * 3)
    assert program.is_graph
    program.launch([(missed, torch.full((1000,), 0.125))])
    assert torch.equal(missed.cpu(), torch.full((1000,), 0.125))
    assert torch.equal(values.cpu(), torch.full((1000,), 1 - 3 * 0.125))


@pytest.mark.parametrize("strategy", ["mcmc", "default"])
def test_a_fit_goes_on_where_it_stopped(strategy: Literal["mcmc", "default"], tmp_path: Path):
    config = TrainConfig(steps=40, max_splats=150, sh_degree=1, strategy=strategy, noise=1e4)
    config = replace(config, background=(0.2, 0.3, 0.4))
    trainer = Trainer(small_capture(), config, "cuda")
    first = trainer.step().loss
    for _ in range(19):
        trainer.step()
    torch.save(trainer.state_dict(), tmp_path / "state.pt")
    for device in ("cuda", "cpu"):
        resumed = Trainer(small_capture(), config, device)
        resumed.load_state_dict(torch.load(tmp_path / "state.pt", map_location="cpu"))
        last = [resumed.step().loss for _ in range(20)][-1]
        assert last < first


def test_a_thread_of_its_own_draws():
    splats, at = cloud(2).to("cuda"), camera().to("cuda")
    expected, found = render(splats, at).color, list[torch.Tensor]()
    thread = Thread(target=lambda: found.append(render(splats, at).color))
    thread.start()
    thread.join()
    assert torch.equal(found[0], expected)


def test_sums_in_a_fixed_order_have_the_same_bits():
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        gradients: list[torch.Tensor] = []
        for _ in range(3):
            splats = cloud(2).to("cuda").map(lambda t: t.detach().requires_grad_())
            render(splats, camera().to("cuda")).color.square().sum().backward()
            assert splats.means.grad is not None
            gradients.append(splats.means.grad)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])

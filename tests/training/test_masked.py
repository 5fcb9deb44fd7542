"""What is masked out counts in no loss, no metric and no point to begin with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from fitting import SIZE, Photo, SmallCapture, blobs, small_capture
from torch import Tensor

from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.training import TrainConfig, train
from gaborsplat.renderer.training import data as training_data
from gaborsplat.renderer.training.density.masked import counting

CONFIG = TrainConfig(steps=150, max_splats=150, gabor=0, refine_every=10)


@dataclass
class Masked(Photo):
    """A view with a mask of its own."""

    opaque: Tensor | None = None
    transparent: bool = False

    def alpha(self) -> Tensor | None:
        return self.opaque

    def mask(self) -> Tensor | None:
        return None if self.transparent or self.opaque is None else self.opaque >= 128


def masked(
    capture: SmallCapture, opaque: list[Tensor], behind: int, *, transparent: bool
) -> SmallCapture:
    """The capture with masks, and some value where they mask out."""
    views: list[Photo] = []
    for view, alpha in zip((*capture.test, *capture.train), opaque, strict=True):
        pixels = torch.where(alpha[..., None] > 0, view.pixels, behind)
        views.append(Masked(view.name, view.camera, pixels, None, alpha, transparent))
    return replace(capture, test=views[:1], train=views[1:])


def silhouettes(capture: SmallCapture) -> list[Tensor]:
    """Where the blobs are: the photos are black elsewhere."""
    lit = [view.pixels.amax(-1) > 12 for view in (*capture.test, *capture.train)]
    return [each.to(torch.uint8) * 255 for each in lit]


@pytest.mark.parametrize("transparent", [False, True])
def test_colours_that_are_masked_out_change_nothing(transparent: bool):
    capture = small_capture()
    opaque = silhouettes(capture)
    one, other = (
        train(masked(capture, opaque, behind, transparent=transparent), CONFIG, device="cpu")
        for behind in (0, 200)
    )
    assert torch.equal(one.splats.means, other.splats.means)
    assert one.evaluation == other.evaluation


def test_a_transparent_scene_stands_free():
    capture = small_capture()
    truth = [render(blobs(), view.camera).alpha for view in (*capture.test, *capture.train)]
    views = [
        Masked(
            view.name,
            view.camera,
            (view.pixels / alpha.clamp_min(1e-3)[..., None]).clamp(0, 255).to(torch.uint8),
            None,
            (255 * alpha).round().to(torch.uint8),
            transparent=True,
        )
        for view, alpha in zip((*capture.test, *capture.train), truth, strict=True)
    ]
    found = train(replace(capture, test=views[:1], train=views[1:]), CONFIG, device="cpu")
    for view, alpha in zip(views, truth, strict=True):
        seen = render(found.splats, view.camera).alpha
        assert float(seen[alpha < 0.002].mean()) < 0.02, view.name
        assert float((seen - alpha).abs().mean()) < 0.05, view.name


def test_photos_are_put_before_each_background_alike():
    view = small_capture().train[0]
    alpha = torch.full(SIZE[::-1], 51, dtype=torch.uint8)
    photo = training_data.Photo(view.camera, view.pixels, None, alpha)
    assert photo.counting() is not None and not photo.counting().any()
    generator = torch.Generator().manual_seed(0)
    behind = {photo.over_any(generator).background for _ in range(40)}
    assert behind == set(training_data.BACKGROUNDS)
    shown = photo.over((1.0, 0.5, 0.0)).image.float()
    expected = 0.2 * view.pixels + 0.8 * torch.tensor([255.0, 127.5, 0.0])
    torch.testing.assert_close(shown, expected, atol=0.51, rtol=0)
    plain = training_data.Photo(view.camera, view.pixels, None)
    assert plain.over_any(generator) is plain


def test_points_begin_only_where_some_view_counts_them():
    capture = small_capture()
    left = torch.zeros(SIZE[::-1], dtype=torch.uint8)
    left[:, : SIZE[0] // 2] = 255
    opaque = [left for _ in range(6)]
    views = masked(capture, opaque, 0, transparent=False).train
    points = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1e6], [0.9, 0.0, 0.0]])
    behind = torch.zeros(SIZE[::-1], dtype=torch.uint8)
    assert counting(views[:1], points).tolist() != [True] * 3
    none = masked(capture, [behind] * 6, 0, transparent=False).train
    assert counting(none, capture.points).logical_not().all()
    assert counting(capture.train, capture.points).all()


@pytest.mark.parametrize("transparent", [False, True])
def test_a_test_photo_that_is_masked_out_counts_for_nothing(transparent: bool):
    capture = small_capture()
    opaque = silhouettes(capture)
    opaque[0] = torch.zeros_like(opaque[0])
    found = train(masked(capture, opaque, 0, transparent=transparent), CONFIG, device="cpu")
    assert found.evaluation.psnr is None
    assert not found.evaluation.per_image


def test_a_training_photo_that_is_masked_out_is_left_out(caplog: pytest.LogCaptureFixture):
    capture = small_capture()
    opaque = silhouettes(capture)
    opaque[2] = torch.zeros_like(opaque[2])
    found = train(masked(capture, opaque, 0, transparent=False), CONFIG, device="cpu")
    assert found.skipped_steps == 0
    told = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert told == ["note: left out view 2: nothing of it counts: all is masked out"]

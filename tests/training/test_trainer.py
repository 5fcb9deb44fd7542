"""Fitting a known scene: it is found again, whatever the strategy, the masks and the mishaps."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Literal

import pytest
import torch
from fitting import SmallCapture, blobs, small_capture
from torch import Tensor

from gaborsplat.renderer.backends.memory import Memory
from gaborsplat.renderer.raster.frequency import NYQUIST, waves_on_image
from gaborsplat.renderer.splats import RawSplats
from gaborsplat.renderer.training import (
    LearningRates,
    StepReport,
    TrainConfig,
    Trainer,
    evaluate,
    train,
)
from gaborsplat.renderer.training.data import Photo, PhotosOnDevice, scene_scale
from gaborsplat.renderer.training.density.initial import initial_parameters
from gaborsplat.renderer.training.density.neighbours import neighbour_distance
from gaborsplat.renderer.training.step.objective import Measured, PhotometricObjective, Picture
from gaborsplat.renderer.training.step.runner import StepRunner

SHORT = TrainConfig(steps=150, gabor=2, max_splats=150, sh_degree=1, grow_gradient=2e-5)


@pytest.fixture(scope="module")
def capture() -> SmallCapture:
    return small_capture()


def start(capture: SmallCapture, config: TrainConfig = SHORT) -> dict[str, Tensor]:
    raw = initial_parameters(capture, config, torch.Generator().manual_seed(0))
    return {name: parameter.detach() for name, parameter in raw.items()}


@pytest.mark.parametrize("strategy", ["mcmc", "default"])
@pytest.mark.parametrize("gabor", [0, 2])
def test_fitting_improves_views_that_were_not_fitted(
    capture: SmallCapture, strategy: Literal["mcmc", "default"], gabor: Literal[0, 2]
) -> None:
    config = replace(SHORT, strategy=strategy, gabor=gabor)
    before = evaluate(Trainer(capture, config).splats(), capture.test)
    result = train(capture, config)
    assert before.psnr is not None and result.evaluation.psnr is not None
    assert result.evaluation.psnr > before.psnr + 3
    assert 100 <= len(result.splats) <= config.max_splats
    assert result.splats.waves == gabor
    assert result.skipped_steps == result.pruned_splats == 0


def test_visible_adam_fits_too_and_leaves_what_no_photo_shows(capture: SmallCapture) -> None:
    config = replace(SHORT, visible_adam=True, strategy="default", max_splats=100)
    nowhere = replace(capture, points=capture.points + 100)
    hidden = Trainer(nowhere, config)
    before = hidden.splats()
    for _ in range(10):
        hidden.step()
    assert torch.equal(hidden.splats().means, before.means)
    first, result = evaluate(before, capture.test), train(capture, config)
    assert first.psnr is not None and result.evaluation.psnr is not None
    assert result.evaluation.psnr > first.psnr + 3


def test_waves_are_learnt_after_their_warm_up(capture: SmallCapture) -> None:
    trainer = Trainer(capture, replace(SHORT, steps=40, wave_start=0.5))
    for _ in range(20):
        trainer.step()
    assert not trainer.splats().coefficients.any()
    for _ in range(20):
        trainer.step()
    assert len(trainer.splats().coefficients[..., 1].unique()) > 100


def test_waves_begin_where_the_residual_asks_unless_told_otherwise(capture: SmallCapture) -> None:
    frequencies: dict[str, torch.Tensor] = {}
    for birth in ("residual", "random"):
        config = replace(SHORT, steps=40, wave_start=0.5, wave_birth=birth)
        trainer = Trainer(capture, config)
        while trainer.steps_done <= 20:
            trainer.step()
        frequencies[birth] = trainer.splats().frequencies.norm(dim=-1)
    assert frequencies["random"].std() < 0.02  # all begin at one frequency
    assert frequencies["residual"].std() > 0.1
    assert frequencies["residual"].max() > 0.6


@pytest.mark.parametrize("limit", [True, False])
@pytest.mark.parametrize("steps", [30, 37])
def test_no_wave_ends_finer_than_the_photos_unless_told_otherwise(
    steps: int, limit: bool, capture: SmallCapture
) -> None:
    quick = LearningRates(frequencies=0.5)  # waves run away
    config = replace(SHORT, steps=steps, wave_limit=limit, learning_rates=quick)
    trainer = Trainer(capture, config)
    while not trainer.done:
        trainer.step()
    splats = trainer.splats()
    coarsest = torch.full(splats.coefficients.shape[:2], torch.inf)
    for view in capture.train:
        seen, waves = waves_on_image(splats, view.camera, config.render_settings())
        coarsest[seen] = torch.minimum(coarsest, waves[..., :2].norm(dim=-1))[seen]
    finest = coarsest[coarsest.isfinite()].max()
    assert (finest <= NYQUIST * 1.001) == limit


def test_another_thread_gets_whole_snapshots_while_steps_go_on(capture: SmallCapture) -> None:
    trainer = Trainer(capture, replace(SHORT, steps=10_000))
    stop = threading.Event()

    def fit() -> None:
        while not stop.is_set():
            trainer.step()

    thread = threading.Thread(target=fit)
    thread.start()
    try:
        seen: list[int] = []
        for _ in range(5):
            # `Splats` refuses tensors of different lengths.
            assert len(trainer.splats()) >= 120
            seen.append(trainer.steps_done)
    finally:
        stop.set()
        thread.join()
    # Each snapshot waits for the step in progress, not for the run.
    assert seen[-1] - seen[0] <= 10


def test_every_view_is_fitted_once_before_any_is_fitted_again(capture: SmallCapture) -> None:
    reports: list[StepReport] = []
    train(capture, replace(SHORT, steps=10), on_step=reports.append)
    names = [report.view for report in reports]
    everything = sorted(view.name for view in capture.train)
    assert sorted(names[:5]) == sorted(names[5:]) == everything
    assert names[:5] != names[5:]
    assert [report.step for report in reports] == list(range(1, 11))


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(capture: SmallCapture) -> None:
    first, second, other = (
        train(capture, replace(SHORT, steps=60, seed=seed)).splats for seed in (0, 0, 1)
    )
    assert all(torch.equal(a, second.tensors()[name]) for name, a in first.tensors().items())
    assert not torch.equal(first.means, other.means)


def test_masked_pixels_do_not_influence_the_fit(capture: SmallCapture) -> None:
    mask = torch.ones(30, 40, dtype=torch.bool)
    mask[:, :20] = False
    results: list[Tensor] = []
    for spoil in (False, True):
        views = [replace(view, valid=mask, pixels=view.pixels.clone()) for view in capture.train]
        for view in views:
            view.pixels[:, :20] = 255 if spoil else 0
        results.append(train(replace(capture, train=views), replace(SHORT, steps=30)).splats.means)
    assert torch.equal(*results)


def test_evaluation_ignores_masked_pixels_and_hands_out_both_images(capture: SmallCapture) -> None:
    mask = torch.ones(30, 40, dtype=torch.bool)
    mask[10:20, 10:30] = False
    view = replace(capture.test[0], valid=mask, pixels=capture.test[0].pixels.clone())
    view.pixels[10:20, 10:30] = 255
    seen: list[tuple[str, Tensor, Tensor]] = []
    found = evaluate(
        blobs(), [view], on_image=lambda v, image, photo: seen.append((v.name, image, photo))
    )
    # The photo is the rendering rounded to bytes: an error of 1/255/sqrt(12) at most.
    assert found.psnr is not None and found.psnr > 55
    assert found.as_dict()["per_image"]["view 0"]["lpips"] is None
    name, image, photo = seen[0]
    assert name == "view 0"
    assert torch.allclose(image[mask], photo[mask], atol=1 / 255)
    assert not torch.allclose(image, photo, atol=0.5)


def test_evaluation_of_no_views_has_no_mean() -> None:
    assert evaluate(blobs(), []).as_dict()["test"] == {
        "psnr": None,
        "ssim": None,
        "cc_psnr": None,
        "lpips": None,
    }


def test_raw_parameters_stand_for_the_splats_they_came_from() -> None:
    splats = blobs()
    again = RawSplats.standing_for(splats).activated()
    for name, tensor in splats.tensors().items():
        assert torch.allclose(again.tensors()[name], tensor, atol=1e-6), name


def test_splats_start_on_the_points_in_their_colours_as_wide_as_their_spacing(
    capture: SmallCapture,
) -> None:
    splats = RawSplats.of(start(capture)).activated()
    distances = torch.cdist(capture.points, capture.points).sort(dim=1).values[:, 1:4]
    assert torch.equal(splats.means, capture.points)
    assert torch.allclose(splats.scales, distances.mean(1)[:, None].expand(-1, 3), atol=1e-5)
    color = 0.5 + splats.sh[:, 0] / (2 * math.sqrt(math.pi))
    assert torch.allclose(color, capture.point_colors / 255, atol=1e-5)
    assert torch.allclose(splats.quats.norm(dim=1), torch.ones(120))


def test_points_in_cameras_and_broken_points_are_dropped(capture: SmallCapture) -> None:
    inside = torch.stack([capture.train[0].camera.position + 1e-3, torch.full((3,), math.nan)])
    many = 2 * torch.rand(200, 3) - 1
    spoiled = replace(
        capture,
        points=torch.cat([inside, many]),
        point_colors=torch.full((202, 3), 128, dtype=torch.uint8),
    )
    assert torch.equal(start(spoiled, replace(SHORT, max_splats=500))["means"], many)


def test_more_points_than_splats_are_thinned_out(capture: SmallCapture) -> None:
    means = start(capture, replace(SHORT, max_splats=20))["means"]
    assert len(means) == 20
    assert len(means.unique(dim=0)) == 20
    assert {tuple(row) for row in means.tolist()} <= {tuple(row) for row in capture.points.tolist()}


def test_a_step_of_an_empty_cloud_is_no_error(capture: SmallCapture) -> None:
    config = replace(SHORT, gabor=0)
    parameters = {k: v[:0] for k, v in start(capture, config).items()}
    runner = StepRunner(torch.device("cpu"), config.render_settings())
    view = capture.train[0]
    picture = runner.forward(RawSplats.of(parameters), view.camera, sh_degree=0)
    result, gradients = runner.backward(picture, Photo(view.camera, view.image(), None))
    assert float(result.means[3]) > 0
    assert all(len(gradient) == 0 for gradient in gradients.values())


class OnlyGreen(PhotometricObjective):
    """A loss that knows one channel."""

    def measure(self, picture: Picture, photo: Photo, memory: Memory) -> Measured:
        result = super().measure(picture, photo, memory)
        result.v_color[..., (0, 2)] = 0
        return result


def test_a_trainer_follows_the_objective_that_it_is_given(capture: SmallCapture) -> None:
    config = replace(SHORT, gabor=0, strategy="default")
    trainer = Trainer(capture, config, objective=OnlyGreen())
    before = trainer.parameters["sh0"].detach().clone()
    trainer.step()
    moved = trainer.parameters["sh0"].detach() != before
    assert moved[..., 1].any()
    assert not moved[..., (0, 2)].any()


def test_without_points_splats_fill_what_the_cameras_look_at(capture: SmallCapture) -> None:
    empty = replace(capture, points=torch.zeros(0, 3), point_colors=capture.point_colors[:0])
    means = start(empty, replace(SHORT, max_splats=500))["means"]
    assert len(means) == 500
    # All cameras look at the origin from a distance of about 4 and see half as far to a side.
    assert means.mean(dim=0).norm() < 0.3
    assert 1.5 < means.abs().max() < 2.5


def test_coinciding_and_lonely_points_get_a_finite_size(capture: SmallCapture) -> None:
    points = torch.zeros(120, 3)
    points[-1] = 1e6
    colors = torch.zeros(120, 3, dtype=torch.uint8)
    crowded = replace(capture, points=points, point_colors=colors)
    raw = start(crowded, replace(SHORT, max_splats=500))
    assert bool(torch.isfinite(raw["scales"]).all())
    assert torch.exp(raw["scales"]).min() > 0


def test_scene_scale_is_the_extent_of_the_cameras_or_else_of_the_points(
    capture: SmallCapture,
) -> None:
    cameras = [view.camera for view in capture.train]
    centres = torch.stack([camera.position for camera in cameras])
    extent = (centres - centres.mean(0)).norm(dim=1).max().item()
    assert scene_scale(cameras, capture.points) == pytest.approx(1.1 * extent)
    around = cameras[0].position + torch.tensor([[0.0, 0.0, 5.0]] * 3)
    assert scene_scale(cameras[:1], around) == pytest.approx(5.0)
    assert scene_scale(cameras[:1], torch.zeros(0, 3)) == 1.0


@pytest.mark.parametrize("count", [1, 3, 64, 700])
def test_neighbour_distances_are_exact(count: int) -> None:
    points = torch.randn(count, 3) * torch.rand(count, 1) ** 4 + 100
    nearest = torch.cdist(points.double(), points.double()).sort(dim=1).values[:, 1:4]
    expected = nearest.mean(dim=1) if count > 1 else torch.zeros(1)
    assert torch.allclose(neighbour_distance(points), expected.float(), rtol=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"gabor": 3}, "gabor must be one of 0, 1, 2, 4, not 3"),
        ({"wave_start": 1.5}, "wave_start must be between 0.0 and 1.0, not 1.5"),
        ({"noise": math.nan}, "noise must be at least 0.0, not nan"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**setting)  # pyright: ignore[reportArgumentType]


def test_a_capture_without_training_views_is_refused(capture: SmallCapture) -> None:
    with pytest.raises(ValueError, match="no views to train on"):
        Trainer(replace(capture, train=[]), SHORT)


@pytest.fixture(scope="module")
def cpu_losses(capture: SmallCapture) -> dict[int, list[float]]:
    """Of 50 steps by the CPU backend, by waves; found before any test puts another in its place."""
    return {gabor: losses(capture, gabor) for gabor in (0, 2)}


def losses(capture: SmallCapture, gabor: int, device: str = "cpu") -> list[float]:
    config = replace(SHORT, steps=50, gabor=gabor)  # type: ignore[arg-type]
    trainer = Trainer(capture, config, device)
    return [trainer.step().loss for _ in range(config.steps)]


@pytest.mark.parametrize("gabor", [0, 2])
def test_the_cuda_backend_learns_as_the_cpu_does(
    capture: SmallCapture,
    cpu_losses: dict[int, list[float]],
    gabor: int,
    device: torch.device,
) -> None:
    """50 steps with growth, waves and noise. Runs that round differently drift apart."""
    found = losses(capture, gabor, device.type)
    assert found == pytest.approx(cpu_losses[gabor], rel=2e-2)
    assert found[:3] == pytest.approx(cpu_losses[gabor][:3], rel=1e-5)


def test_photos_stay_on_a_device_as_far_as_there_is_room():
    capture = small_capture(views=4)
    one, two, three = capture.train[:3]
    two.valid = torch.ones(two.pixels.shape[:2], dtype=torch.bool)
    size = one.pixels.nbytes
    assert two.valid is not None
    kept = PhotosOnDevice(torch.device("meta"), budget=2 * size + two.valid.nbytes)
    for view in (one, two, three):
        photo = kept.get(view)
        assert {photo.camera.intrinsics.device.type, photo.image.device.type} == {"meta"}
        assert (photo.mask is None) == (view.valid is None)
    assert kept.get(one) is kept.get(one)
    assert kept.get(two) is kept.get(two)
    assert kept.get(three) is not kept.get(three), "there was no room for it"


def test_on_the_cpu_photos_are_not_copied():
    (view, *_) = small_capture(views=3).train
    photos = PhotosOnDevice(torch.device("cpu"))
    assert photos.get(view).image is view.pixels

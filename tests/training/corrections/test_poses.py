"""Camera poses that are refined: their gradients, what they find, and when they are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import emulated
import pytest
import torch
import torch.nn.functional as F
from fitting import Photo, SmallCapture, blobs, small_capture
from torch import Tensor

from gaborsplat.renderer.backends.cuda.launcher import Launch, Relaunched
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.losses import photometric_loss
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.training.config import TrainConfig
from gaborsplat.renderer.training.corrections import poses
from gaborsplat.renderer.training.corrections.corrections import Corrections
from gaborsplat.renderer.training.corrections.poses import START, PoseCorrection
from gaborsplat.renderer.training.corrections.rigid import common_motions, rigid, shown_motion
from gaborsplat.renderer.training.data import camera_centres, scene_scale
from gaborsplat.renderer.training.trainer import Trainer

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    steps=400, max_splats=150, gabor=0, sh_degree=0, refine_stop=0.3, grow_stop=0.2, noise=0.0
)


def poses_of(data: SmallCapture, steps: int = 400, *, undecided: bool = False) -> PoseCorrection:
    correction = PoseCorrection(data, steps, undecided=undecided)
    correction.build(data.train)
    return correction


def disturbed(data: SmallCapture, degrees: float, shift: float, seed: int = 1) -> SmallCapture:
    """Cameras of the training views that were turned and moved by so much in random directions."""
    drawn = torch.Generator().manual_seed(seed)
    scale = scene_scale([view.camera for view in data.train], data.points)

    def moved(view: Photo) -> Photo:
        axis, way = F.normalize(torch.randn(2, 3, generator=drawn), dim=-1).double()
        motion = rigid(torch.tensor(degrees).deg2rad() * axis, shift * scale * way)
        pose = motion @ view.camera.world_to_camera.double()
        return replace(view, camera=replace(view.camera, world_to_camera=pose.float()))

    return replace(data, train=[moved(view) for view in data.train])


def common_part_removed(motions: Tensor, cameras: list[Camera], scale: float) -> Tensor:
    """[V, 6] without what moves all cameras together with the scene."""
    common = common_motions(cameras, camera_centres(cameras).mean(0), scale)
    flat = common.flatten(0, 1)
    drift = torch.linalg.lstsq(flat, motions.flatten()[:, None]).solution
    return motions - (flat @ drift).reshape(motions.shape)


def small_motion(from_: Camera, to: Camera, scale: float) -> Tensor:
    """[6] the motion in the first camera's axes that makes it the second one, to first order."""
    change = to.world_to_camera.double() @ torch.linalg.inv(from_.world_to_camera.double())
    turn = torch.stack([change[2, 1], change[0, 2], change[1, 0]])
    return torch.cat([turn, change[:3, 3] / scale])


def off_by(trainer: Trainer, given: SmallCapture, true: SmallCapture) -> tuple[float, float]:
    """By how many pixels what cameras see is off, but for what all have in common: as they were
    given, and as they were refined."""
    cameras = [view.camera for view in true.train]
    scale = scene_scale(cameras, true.points)
    before = [view.camera for view in given.train]
    after = [trainer.corrections.camera_of(view) for view in given.train]
    pixels: list[float] = []
    for found in (before, after):
        pairs = zip(cameras, found, strict=True)
        motions = torch.stack([small_motion(a, b, scale) for a, b in pairs])
        rows = common_part_removed(motions, cameras, scale)
        shown = [
            shown_motion(camera, rigid(row[:3], scale * row[3:]), float(camera.position.norm()))
            for camera, row in zip(cameras, rows, strict=True)
        ]
        pixels.append(sum(shown) / len(shown))
    return pixels[0], pixels[1]


def test_a_camera_that_was_not_moved_is_bit_for_bit_the_one_that_was_given():
    data = small_capture()
    correction = poses_of(data)
    for index, view in enumerate(data.train):
        pose = view.camera.world_to_camera
        assert torch.equal(correction.pose(pose, index), pose)


def test_gradients_of_motions_agree_with_finite_differences():
    data, view = small_capture(4), 1
    correction = poses_of(data).double()
    scene, camera = blobs(30).to(torch.float64), data.train[view].camera.to(torch.float64)
    target = torch.rand(30, 40, 3, generator=torch.Generator().manual_seed(2)).double()
    rows = [correction.rotation, correction.translation]
    start = 0.02 * torch.randn(6, generator=torch.Generator().manual_seed(3)).double()

    def loss(motion: Tensor) -> Tensor:
        with torch.no_grad():
            for parameter, row in zip(rows, motion.reshape(2, 3), strict=True):
                parameter[view] = row
        pose = correction.pose(camera.world_to_camera, view)
        frame = render(scene, replace(camera, world_to_camera=pose))
        return photometric_loss(frame.color, target)

    found = torch.cat([each[view] for each in torch.autograd.grad(loss(start), rows)])
    steps = 1e-6 * torch.eye(6, dtype=torch.float64)
    with torch.no_grad():
        differences = torch.stack([(loss(start + d) - loss(start - d)) / 2e-6 for d in steps])
    # A row's share of what all cameras have in common, which gradients take as it is.
    cameras = [each.camera for each in data.train]
    scale = scene_scale(cameras, data.points)
    common = common_motions(cameras, camera_centres(cameras).mean(0), scale)
    fitted = torch.linalg.pinv(common.flatten(0, 1)).reshape(7, -1, 6)
    share = torch.eye(6, dtype=torch.float64) - common[view] @ fitted[:, view]
    assert float(differences.norm()) > 1e-3
    torch.testing.assert_close(share.T @ found, differences, rtol=1e-4, atol=1e-7)


def test_what_all_cameras_have_in_common_moves_none_of_them():
    data = small_capture()
    correction = poses_of(data)
    cameras = [view.camera for view in data.train]
    scale = scene_scale(cameras, data.points)
    common = common_motions(cameras, camera_centres(cameras).mean(0), scale)
    rows = 1e-2 * common @ torch.linspace(-1, 1, 7, dtype=torch.float64)
    with torch.no_grad():
        correction.rotation.copy_(rows[:, :3])
        correction.translation.copy_(rows[:, 3:])
        assert correction.rotation.norm() > 1e-2
        for index, camera in enumerate(cameras):
            pose = camera.world_to_camera
            torch.testing.assert_close(correction.pose(pose, index), pose, rtol=0, atol=1e-6)


def test_common_motions_leave_pictures_as_they_are_if_the_scene_follows():
    data = small_capture()
    cameras = [view.camera for view in data.train]
    middle, scale, size = camera_centres(cameras).mean(0).double(), 2.0, 1e-4
    amount = size * torch.linspace(-1, 1, 7, dtype=torch.float64)
    motions = common_motions(cameras, middle.float(), scale) @ amount
    points = data.points.double()
    turned = torch.linalg.cross(amount[:3].expand_as(points), points - middle)
    moved = points + turned + scale * amount[3:6] + amount[6] * (points - middle)
    for camera, motion in zip(cameras, motions, strict=True):
        pose, k = camera.world_to_camera.double(), camera.intrinsics.double()
        after = rigid(motion[:3], scale * motion[3:]) @ pose

        def seen(at: Tensor, pose: Tensor, k: Tensor = k) -> Tensor:
            x = (at @ pose[:3, :3].T + pose[:3, 3]) @ k.T
            return x[:, :2] / x[:, 2:]

        assert float((seen(points, pose) - seen(points, after)).abs().max()) > 1e-3
        # The inverse moves the scene instead of the cameras.
        difference = seen(2 * points - moved, after) - seen(points, pose)
        assert float(difference.abs().max()) < 1e-5


@pytest.mark.slow
def test_disturbed_cameras_are_found_again():
    true = small_capture(12)
    given = disturbed(true, 1.0, 0.01)
    trainer = trained(given, "on")
    before, after = off_by(trainer, given, true)
    assert before > 0.5
    assert after < 0.5 * before
    assert "poses refined" in trainer.corrections.told()[0]


@pytest.mark.slow
def test_auto_takes_right_cameras_as_given_and_goes_on_with_wrong_ones():
    true = small_capture(12)
    off, right = trained(true, "off"), trained(true, "auto")
    wrong = trained(disturbed(true, 1.5, 0.02), "auto")
    assert wrong.corrections.moves
    assert not right.corrections.moves
    assert "poses taken as given" in right.corrections.told()[0]
    for name, parameter in off.parameters.items():
        assert torch.equal(right.parameters[name], parameter), name


def test_cameras_are_as_given_until_splats_tell_enough():
    data = small_capture()
    correction = poses_of(data)
    correction.enter(0.9 * START)
    assert not correction.active
    correction.enter(START)
    assert correction.active


@pytest.mark.parametrize("degrees, active", [(0.0, False), (1.5, True)])
def test_what_was_decided_is_in_a_checkpoint(degrees: float, active: bool):
    data = disturbed(small_capture(), degrees, 0.0)
    first, second = (PoseCorrection(data, 400, undecided=True) for _ in range(2))
    corrections = Corrections([first], data.train, CPU)
    corrections.enter(START, blobs, RenderSettings())
    assert bool(corrections) is active
    with torch.no_grad():
        first.rotation[::2] = 0.01
    later = Corrections([second], data.train, CPU)
    later.load_state_dict(corrections.state_dict(), [view.name for view in data.train])
    assert bool(later) is active
    assert later.told() == corrections.told()
    later.enter(1.0, blobs, RenderSettings())
    assert bool(later) is active
    assert torch.equal(first.rotation, second.rotation)


def test_photos_that_cannot_be_read_do_not_keep_others_from_telling_where_cameras_were():
    data = disturbed(small_capture(), 1.5, 0.0)
    data.train[0] = Gone(data.train[0].name, data.train[0].camera, data.train[0].pixels)
    for views, active in ((data.train, True), (data.train[:1], False)):
        given = replace(data, train=views)
        corrections = Corrections([PoseCorrection(given, 400, undecided=True)], views, CPU)
        corrections.enter(START, blobs, RenderSettings())
        assert bool(corrections) is active


class Gone(Photo):
    """A view whose photo is not there any more."""

    def image(self) -> Tensor:
        raise OSError("gone")


def test_a_run_that_is_resumed_goes_on_with_the_cameras_it_had():
    data, steps = disturbed(small_capture(), 1.0, 0.01), 60
    config = replace(CONFIG, steps=steps, refine_poses="on")
    whole, first, second = (Trainer(data, config) for _ in range(3))
    for done in range(steps):
        whole.step()
        if done < steps // 2:
            first.step()
    second.load_state_dict(first.state_dict())
    while not second.done:
        second.step()
    for view in data.train:
        pose = second.corrections.camera_of(view).world_to_camera
        assert not torch.equal(pose, view.camera.world_to_camera)
        assert torch.equal(pose, whole.corrections.camera_of(view).world_to_camera)


@pytest.mark.slow
@pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler")
def test_a_gpu_refines_as_the_cpu_does_and_records_steps_where_cameras_are_right(
    monkeypatch: pytest.MonkeyPatch,
):
    data, launcher = small_capture(4), Programs()
    config = replace(CONFIG, steps=12, max_splats=120, refine_poses="auto")
    refining = replace(config, refine_poses="on")
    monkeypatch.setattr(poses, "LEAST_PIXELS", 100.0)
    on_cpu = stepped(Trainer(data, refining))
    with emulated.emulated_cuda():
        refined = stepped(Trainer(data, refining))
    with emulated.emulated_cuda(launcher):
        quiet = stepped(Trainer(data, config))
    assert launcher.recorded
    assert not quiet.corrections
    for view in data.train:
        found = [each.corrections.camera_of(view).world_to_camera for each in (on_cpu, refined)]
        assert not torch.equal(found[0], view.camera.world_to_camera)
        torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-4)


class Programs(emulated.Emulator):
    """Counts what is recorded."""

    recorded = 0

    def record(self, launches: Sequence[Launch]) -> Relaunched:
        self.recorded += 1
        return super().record(launches)


def trained(data: SmallCapture, mode: Literal["auto", "off", "on"]) -> Trainer:
    return stepped(Trainer(data, replace(CONFIG, refine_poses=mode)))


def stepped(trainer: Trainer) -> Trainer:
    """After all of its steps."""
    while not trainer.done:
        trainer.step()
    return trainer

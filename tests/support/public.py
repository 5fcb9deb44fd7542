"""Everything public, used once each: what tests of surroundings (types, threads, processes) run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import synthetic
import torch
from colmap_files import ring, write_capture
from fitting import SmallCapture, small_capture
from torch import Tensor

import gaborsplat as gs
from gaborsplat.renderer.backends.memory import FRESH
from gaborsplat.renderer.training.data import Photo
from gaborsplat.viewer.camera import camera_at
from gaborsplat.viewer.picture.draw import PictureRenderer, Renderers, Scene
from gaborsplat.viewer.settings import MODES, CropBox, Pose, ViewSettings

PUBLIC = {
    name: value
    for name, value in vars(gs).items()
    if not name.startswith("_") and not isinstance(value, ModuleType)
}
GRADIENTS = "gradients"
"""Part of what comes of a use that is there only where torch records."""
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}

QUICK = gs.TrainConfig(
    steps=24,
    max_splats=300,
    grow_gradient=1e-5,
    refine_every=4,
    refine_start=0.1,
    wave_start=0.4,
    gabor=1,
    sh_degree=1,
    sh_every=6,
)


class World:
    """What the uses work on, all of it float32 and on the CPU.

    Args:
        folder: where captures and splat files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = write_capture(ring(5, (40, 30)), folder / "ring")
        self.capture = small_capture(4)
        few = {name: getattr(self.capture, name)[:20] for name in ("points", "point_colors")}
        self.few = replace(self.capture, **few)
        self.splats = synthetic.cloud(40, 2, degree=1, dtype=torch.float32)
        self.camera = synthetic.camera(dtype=torch.float32)
        self.photo = self.capture.train[0].pixels
        self.file = folder / "scene.ply"
        gs.save_splats(self.splats, self.file)

    @property
    def image(self) -> Tensor:
        """[H, W, 3] float32, like the photo but for some noise."""
        noise = torch.from_numpy(np.random.default_rng(3).random(self.photo.shape, np.float32))
        return self.photo.float() / 300 + noise / 10


def _rasterized(world: World) -> Any:
    s, camera = world.splats.map(lambda t: t.detach().clone().requires_grad_()), world.camera
    colors, alphas, info = gs.rasterization(
        *(s.means, s.quats, s.scales, s.opacities, s.sh),
        *(camera.world_to_camera[None], camera.intrinsics[None], *camera.size),
        sh_degree=1,
        backgrounds=s.means.detach().new_tensor([[0.1, 0.2, 0.3]]),
        render_mode="RGB+ED",
        gabor=gs.GaborWaves(s.frequencies, s.coefficients),
    )
    return colors, alphas, dict(info), _gradients(colors.sum() + alphas.sum(), s.tensors().values())


def _gradients(loss: Tensor, inputs: Iterable[Tensor]) -> Any:
    """None where nothing is recorded."""
    if not loss.requires_grad:
        return {}
    loss.backward()
    return {GRADIENTS: [tensor.grad for tensor in inputs]}


def _rendered(world: World) -> Any:
    live = world.splats.map(lambda t: t.detach().clone().requires_grad_())
    frame = gs.render(live, world.camera)
    gradients = _gradients(frame.color.sum(), live.tensors().values())
    return frame, gs.render(world.splats, world.camera), gradients


def _drawn(world: World) -> Any:
    """What a browser is shown, in every mode."""
    scene = Scene(world.splats)
    crop = CropBox((0.0, 0.0, 3.0), (2.0, 2.0, 4.0))
    camera = camera_at(Pose((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -1.0), 0.8, (40, 30)), (40, 30))
    renderer = PictureRenderer(Renderers())
    for mode in MODES:
        for settings in (ViewSettings(mode=mode, crop=crop), ViewSettings(mode, beside="other")):
            drawn = renderer.draw(scene, camera, settings, other=scene, depth=True)
            yield mode, drawn.picture, drawn.depth


def _served(world: World) -> Any:
    cameras = [gs.NamedCamera("one", world.camera, lambda: world.photo)]
    with gs.Viewer(world.splats, cameras=cameras, port=0) as viewer:
        yield viewer.url.startswith("http://127.0.0.1:")
    yield from _drawn(world)


def _losses(world: World) -> Any:
    image = world.image.requires_grad_()
    loss = gs.photometric_loss(image, world.photo)
    return loss, _gradients(loss, [image])


def _stepped(world: World, strategy: str, data: SmallCapture | None = None) -> Any:
    """Steps, a state taken on, and what both trainers come to."""
    config = replace(QUICK, strategy=strategy)
    trainer, other = (gs.Trainer(data or world.capture, config) for _ in range(2))
    for _ in range(12):
        trainer.step()
    other.load_state_dict(trainer.state_dict())
    while not other.done:
        report = other.step()
        yield report.loss, report.psnr, report.skipped, report.splats
    yield trainer.splats(), other.splats(), other.state_dict()["raw"], other.settings


class Gains(gs.Correction):
    """A factor for each photo."""

    name = "gains"

    def build(self, views: Sequence[gs.TrainingView]) -> None:
        rows = torch.zeros(len(views), 1, dtype=torch.float32, device="cpu")
        self.logs = torch.nn.Parameter(rows)

    def color(self, color: Tensor, view: int) -> Tensor:
        return color * self.logs[view].exp()


def mean_error(picture: gs.Picture, photo: Photo) -> Tensor:
    return (picture.color - photo.rgb).abs().mean()


def _corrected(world: World) -> Any:
    """Steps with a loss and a correction of one's own."""
    objective = gs.TorchObjective(mean_error)
    trainer = gs.Trainer(world.few, QUICK, objective=objective, corrections=[Gains()])
    for _ in range(4):
        yield trainer.step().loss
    yield trainer.splats(), trainer.corrections.document()


def _measured(world: World) -> Any:
    picture = gs.Picture(world.image, world.image[..., 0], None)
    photo = Photo(world.camera, world.photo, None)
    return gs.PhotometricObjective().measure(picture, photo, FRESH)


def _trained(world: World) -> Any:
    result = gs.train(world.capture, QUICK)
    metrics = result.metrics()
    for name in ("train_seconds", "elapsed_seconds"):
        metrics.pop(name)
    return result.splats, metrics


def _loaded(world: World) -> Any:
    capture = gs.load_capture(world.path, max_size=30)
    yield capture.points, capture.point_colors, capture.origin, capture.digest()
    for view in capture.views:
        yield view.name, view.camera, view.image(), view.mask(), view.alpha()


def _saved(world: World) -> Any:
    for ending in (".ply", ".compressed.ply", ".splat", ".spz", ".sog"):
        path = world.folder / f"{torch.initial_seed()}{ending}"
        gs.save_splats(gs.bake(world.splats), path, origin=(1.0, 2.0, 3.0), antialiased=True)
        yield gs.load_splats(path)


def _camera(world: World) -> Any:
    camera = world.camera
    yield from (camera.resized((20, 15)), camera.scaled(2.0), camera.position, camera.to("cpu"))
    yield camera.pixels_of(world.splats.means)


def _published(world: World) -> Any:
    source = gs.SceneSource()
    source.publish(world.splats)
    source.show_in(4.0)
    assert source.current is not None
    return source.current.splats


def _decimated(world: World) -> Any:
    few = gs.decimated(world.splats, [world.camera], 20)
    return few, gs.refitted(few, world.splats, [world.camera], steps=5)


def _moved(world: World) -> Any:
    return gs.transformed(world.splats, [[0, -2, 0, 1], [2, 0, 0, 0], [0, 0, 2, 3], [0, 0, 0, 1]])


def _refused(world: World) -> str:
    try:
        gs.load_capture(world.folder / "nowhere")
    except gs.InputError as error:
        return str(error)
    raise AssertionError("what is not there was loaded")


USES: dict[str, Callable[[World], Any]] = {
    "Camera": _camera,
    "Capture": _loaded,
    "CaptureView": _loaded,
    "Correction": _corrected,
    "Evaluation": lambda w: gs.evaluate(w.splats, w.capture.test).as_dict(),
    "Frame": _rendered,
    "GaborWaves": _rasterized,
    "InputError": _refused,
    "LearningRates": lambda w: gs.LearningRates(),
    "Measured": _measured,
    "NamedCamera": _served,
    "Objective": _measured,
    "PhotometricObjective": _measured,
    "Picture": _measured,
    "RenderSettings": lambda w: gs.RenderSettings(background=w.splats.means[0].clamp(0, 1)),
    "SceneSource": _published,
    "Score": lambda w: gs.Score(30.0, 0.9),
    "SplatFile": lambda w: gs.load_splat_file(w.file).settings,
    "SplatMetadata": lambda w: gs.SplatMetadata(antialiased=True, up="z").settings,
    "Splats": lambda w: (
        w.splats.scaled(2.0),
        w.splats.without_waves(),
        w.splats.select(w.splats.opacities > 0.5),
    ),
    "StepReport": lambda w: list(_stepped(w, "mcmc")),
    "TorchObjective": _corrected,
    "TrainConfig": lambda w: gs.TrainConfig(),
    "TrainResult": _trained,
    "Trainer": lambda w: [list(_stepped(w, strategy)) for strategy in ("mcmc", "default")],
    "TrainingView": lambda w: w.few.train[0].mask() is None,
    "Viewer": _served,
    "ViewerOptions": lambda w: gs.ViewerOptions(),
    "bake": lambda w: gs.bake(w.splats),
    "contributions": lambda w: gs.contributions(w.splats, [w.camera]),
    "cropped": lambda w: gs.cropped(w.splats, (-1, -1, 0), (1, 1, 4)),
    "decimated": _decimated,
    "evaluate": lambda w: gs.evaluate(w.splats, w.capture.test),
    "load_capture": _loaded,
    "load_splat_file": lambda w: gs.load_splat_file(w.file),
    "load_splats": lambda w: gs.load_splats(w.file),
    "merged": lambda w: gs.merged([w.splats, gs.bake(w.splats), gs.with_sh_degree(w.splats, 3)]),
    "outliers": lambda w: gs.outliers(w.splats),
    "photometric_loss": _losses,
    "pick_device": lambda w: str(gs.pick_device("auto")),
    "pruned": lambda w: gs.pruned(w.splats, min_opacity=0.5, max_scale=0.4),
    "psnr": lambda w: gs.psnr(w.image, w.photo),
    "rasterization": _rasterized,
    "refitted": _decimated,
    "render": _rendered,
    "render_bytes": lambda w: gs.render_bytes(w.splats, w.camera),
    "save_splats": _saved,
    "ssim": lambda w: gs.ssim(w.image, w.photo),
    "transformed": _moved,
    "train": lambda w: list(_stepped(w, "mcmc", w.few)),
    "with_sh_degree": lambda w: gs.with_sh_degree(w.splats, 0),
}
"""By public name: something that is done with it, and what comes of that."""


@cache
def expected(name: str, world: World) -> list[tuple[str, Any]]:
    """What comes of a use in plain surroundings."""
    return facts(USES[name](world))


def facts(found: Any) -> list[tuple[str, Any]]:
    """All there is to a result, part by part: types, devices and bits of tensors."""
    return list(_facts("", found))


def _facts(where: str, found: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(found, Tensor):
        bits = found.detach().contiguous().flatten().view(torch.uint8)
        shape = tuple(found.shape)
        yield where, (str(found.dtype), str(found.device), shape, bits.numpy().tobytes())
    elif isinstance(found, np.ndarray):
        yield where, (str(found.dtype), found.shape, found.tobytes())
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from _facts(f"{where}.{key}", value)
    elif is_dataclass(found):
        for field in fields(found):
            if field.name.startswith("_"):
                continue
            yield from _facts(f"{where}.{field.name}", getattr(found, field.name))
    elif isinstance(found, list | tuple | Iterator):
        for number, value in enumerate(found):
            yield from _facts(f"{where}[{number}]", value)
    else:
        yield where, (type(found).__name__, repr(found))

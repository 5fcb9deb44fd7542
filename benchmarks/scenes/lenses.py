"""A capture bent by every lens of COLMAP and undistorted again, against the capture itself.

    python -m benchmarks.scenes.lenses SCENE [--steps 300] [--max-size 160] [--out RESULTS.json]

SCENE has one PINHOLE camera. Its photos are bent by COLMAP's own inverse of each lens (pycolmap),
written as JPEG, read as any capture is and trained on; pixels that look past the edge of the
original photo are masked. Every run is judged on the test views of the original.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.support.report import write
from gaborsplat.console import console
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.training import TrainConfig, Trainer, evaluate
from gaborsplat.scenes import load_capture
from gaborsplat.scenes.capture import Capture, CaptureView
from gaborsplat.scenes.colmap.camera_models import BY_NAME

COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": (-0.15,),
    "RADIAL": (0.15, -0.05),
    "OPENCV": (-0.2, 0.05, 0.003, -0.004),
    "OPENCV_FISHEYE": (0.05, -0.02, 0.01, -0.003),
    "FULL_OPENCV": (0.1, -0.05, 0.002, -0.003, 0.01, 0.3, -0.05, 0.01),
    "FOV": (1.2,),
    "SIMPLE_RADIAL_FISHEYE": (0.05,),
    "RADIAL_FISHEYE": (0.05, -0.02),
    "THIN_PRISM_FISHEYE": (0.05, -0.02, 0.003, -0.004, 0.01, -0.003, 0.005, -0.003),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        *(0.05, -0.02, 0.01, -0.003, 1e-3, -3e-4),
        *(0.003, -0.004, 0.005, -0.002, -0.003, 0.001),
    ),
    "SIMPLE_DIVISION": (-0.3,),
    "DIVISION": (-0.3,),
    "SIMPLE_FISHEYE": (),
    "FISHEYE": (),
    "EUCM": (0.6, 1.1),
    "EQUIRECTANGULAR": (),
}


MEASURED = ("steps", "max_size", "max_splats", "gabor")
"""The options that results depend on."""


@dataclass(frozen=True)
class Options:
    """What to train."""

    scene: tyro.conf.Positional[Path]
    models: tuple[str, ...] = tuple(COEFFICIENTS)
    steps: int = 300
    max_size: int = 160
    max_splats: int = 6000
    gabor: int = 0
    out: Path | None = None


@dataclass(frozen=True, eq=False)
class OriginalPixels:
    """A view of a bent capture, masked where the original photo had an edge."""

    view: CaptureView
    original: Camera

    @property
    def name(self) -> str:
        """Of the view."""
        return self.view.name

    @property
    def camera(self) -> Camera:
        """Of the view."""
        return self.view.camera

    def image(self) -> Tensor:
        """[H, W, 3] of the view."""
        return self.view.image()

    def mask(self) -> Tensor:
        """[H, W] where both the view and the original have a value."""
        (width, height), matrix = self.camera.size, self.camera.intrinsics
        x = (torch.arange(width) + 0.5 - matrix[0, 2]) / matrix[0, 0]
        y = (torch.arange(height) + 0.5 - matrix[1, 2]) / matrix[1, 1]
        (fx, fy), (cx, cy) = (
            self.original.intrinsics.diagonal()[:2],
            self.original.intrinsics[:2, 2],
        )
        x, y = x * fx + cx, (y * fy + cy)[:, None]
        inside = (x > 1) & (x < self.original.size[0] - 1)
        inside = inside & (y > 1) & (y < self.original.size[1] - 1)
        mask = self.view.mask()
        return inside if mask is None else inside & mask


@dataclass(frozen=True, eq=False)
class Bent:
    """What is trained on, and the original views that judge it."""

    train: tuple[OriginalPixels, ...]
    test: tuple[CaptureView, ...]
    points: Tensor
    point_colors: Tensor


def bent_camera(model: str, camera: pycolmap.Camera) -> pycolmap.Camera:
    """A camera of this model, of the same size, that sees all that the pinhole `camera` does."""
    width, height = camera.width, camera.height
    if model == "EQUIRECTANGULAR":
        width = round(math.tau * camera.mean_focal_length() / 4) * 4
        return pycolmap.Camera(
            model=model, width=width, height=width // 2, params=[width, width // 2]
        )
    border = np.linspace(0, 1, 101)
    sides = [[(t * width, e * height), (e * width, t * height)] for t in border for e in (0, 1)]
    flat = camera.cam_from_img(np.array(sides, np.float64).reshape(-1, 2))
    rays = np.column_stack([flat, np.ones(len(flat))]).T
    u, v = BY_NAME[model].project(*rays, *COEFFICIENTS[model])
    focal = min(width / 2 / abs(u).max(), height / 2 / abs(v).max())
    names = BY_NAME[model].parameters.split()
    focals = [focal] * (1 if names[0] == "f" else 2)
    params = [*focals, width / 2, height / 2, *COEFFICIENTS[model]]
    return pycolmap.Camera(model=model, width=width, height=height, params=params)


def source_of(bent: pycolmap.Camera, camera: pycolmap.Camera) -> NDArray[np.float32]:
    """[H, W, 2] where in a photo of `camera` the pixels of `bent` look, as `cv2.remap` has it."""
    columns, rows = np.meshgrid(np.arange(bent.width) + 0.5, np.arange(bent.height) + 0.5)
    if bent.model.name == "EQUIRECTANGULAR":
        longitude = (columns / bent.width - 0.5) * math.tau
        latitude = (rows / bent.height - 0.5) * math.pi
        with np.errstate(all="ignore"):
            flat = np.stack([np.tan(longitude), np.tan(latitude) / np.cos(longitude)], -1)
        flat[np.cos(longitude) < 0.1] = 1e3  # to the side and behind
    else:
        flat = bent.cam_from_img(np.stack([columns, rows], -1).reshape(-1, 2))
        flat = np.nan_to_num(flat, nan=1e3).reshape(bent.height, bent.width, 2)
    (fx, fy), (cx, cy) = camera.params[:2], camera.params[2:]
    return (flat * (fx, fy) + (cx - 0.5, cy - 0.5)).astype(np.float32)


def write_bent(scene: Path, model: str, folder: Path) -> None:
    """The capture `scene`, taken with another lens."""
    reconstruction = pycolmap.Reconstruction(str(scene / "sparse" / "0"))
    (camera_id,) = reconstruction.cameras
    camera = reconstruction.cameras[camera_id]
    bent = bent_camera(model, camera)
    places = source_of(bent, camera)
    (folder / "images").mkdir()
    for image in reconstruction.images.values():
        photo = cv2.imread(str(scene / "images" / image.name))
        # The border's colour goes on outside, so that interpolation finds no edge there.
        straight = cv2.remap(photo, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 98]
        cv2.imwrite(str(folder / "images" / image.name), straight, quality)
    (folder / "sparse" / "0").mkdir(parents=True)
    camera.model = bent.model
    camera.width, camera.height, camera.params = bent.width, bent.height, bent.params
    reconstruction.write_binary(str(folder / "sparse" / "0"))


def bent_capture(options: Options, original: Capture, model: str, folder: Path) -> Bent:
    """The capture `original`, bent and read again; its test photos are left out of training."""
    write_bent(options.scene, model, folder)
    max_size, marker = options.max_size, ""
    if model == "EQUIRECTANGULAR":  # of the cube's sides, the one in front has the photo
        marker = "_front"
        max_size = round(2 * float(original.views[0].camera.intrinsics[0, 0]))
    capture = load_capture(folder, max_size=max_size)
    names = {Path(view.name).stem + marker for view in original.train}
    views = [view for view in capture.views if Path(view.name).stem in names]
    assert len(views) == len(names)
    camera = original.views[0].camera
    train = tuple(OriginalPixels(view, camera) for view in views)
    return Bent(train, original.test, capture.points, capture.point_colors)


def psnr_of(data: Bent | Capture, options: Options) -> float:
    """Of the test views, after training [dB]."""
    config = TrainConfig(steps=options.steps, max_splats=options.max_splats, gabor=options.gabor)
    trainer = Trainer(data, config)
    while not trainer.done:
        trainer.step()
    psnr = evaluate(trainer.splats(), data.test).psnr
    assert psnr is not None
    return psnr


def main(options: Options) -> None:
    """Trains on the original, then on every bent capture, and prints the differences."""
    original = load_capture(options.scene, max_size=options.max_size)
    plain = psnr_of(original, options)
    console.print(f"{'as it is':28} {plain:6.2f} dB")
    results = {"as it is": plain}
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            data = bent_capture(options, original, model, Path(folder))
            results[model] = psnr_of(data, options)
            seen = data.train[0].mask().float().mean()
        console.print(
            f"{model:28} {results[model]:6.2f} dB {results[model] - plain:+.2f}, "
            f"{100 * float(seen):.0f} % of the pixels"
        )
        if options.out:
            settings = {name: value for name, value in vars(options).items() if name in MEASURED}
            write(options.out, {**settings, "psnr": results})


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

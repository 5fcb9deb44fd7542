"""A capture: photos with cameras, and points on what they show."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..renderer.cameras import Camera
from ..renderer.training.data import CACHE_BYTES
from .colmap.model import ColmapImage, ColmapModel, ColmapPoints
from .colmap.reading import model_suffix
from .errors import InputError
from .photos.images import Photo, PhotoCache, check_size, find_photos, fit_within, photo_size
from .photos.undistort import Lens, lens_of
from .sfm.running import Report
from .sources import Sfm, is_capture_path, read_source

TEST_EVERY = 8
"""Of the views sorted by name, those with index % TEST_EVERY == 0 are for testing, where the
capture itself says nothing of it."""
MIN_VIEWS = 3
"""Fewer photos than this are not a capture."""
FAR_FROM_ZERO = 100.0
"""Beyond this many times its own extent from zero, a scene is moved to zero.

float32 resolves 6e-8 of a coordinate: 1e-5 of the extent at this distance, a hundredth of a
typical splat.
"""


@dataclass(frozen=True, eq=False)
class CaptureView:
    """One photo and the pinhole camera that took it.

    Attributes:
        name: name in the model, with forward slashes for sub-folders.
        camera: pose and intrinsics, float32, on the CPU.
        photo: the file, and the lens that is taken out of it.
        held_out: whether the capture wants it for testing; None where it does not say, as COLMAP's.
    """

    name: str
    camera: Camera
    photo: Photo
    _cache: PhotoCache = field(repr=False)
    held_out: bool | None = None

    def image(self) -> Tensor:
        """[H, W, 3] uint8 RGB. Decoded when first asked for, then shared: not to be written to."""
        image = self._cache.get(("image", self.name), self.photo.decode)
        assert image is not None
        return image

    def mask(self) -> Tensor | None:
        """[H, W] bool, True where the photo has a value; None if it has one everywhere."""
        return self._cache.get(("mask", self.photo.lens), self.photo.mask)


@dataclass(frozen=True, eq=False)
class Capture:
    """Everything that training needs to know of a scene.

    Attributes:
        name: name of the folder.
        views: all photos with their cameras, sorted by name.
        points: [P, 3] float32 sparse points, relative to `origin`.
        point_colors: [P, 3] uint8 RGB of the points.
        origin: [3] float64, subtracted from all coordinates; zeros for a scene near zero.
        repairs: what was wrong in the capture and how it was taken, one line each.
        model: the COLMAP model, as it was read, or what transforms.json says in its terms.
    """

    name: str
    views: tuple[CaptureView, ...]
    points: Tensor
    point_colors: Tensor
    origin: Tensor
    repairs: tuple[str, ...]
    model: ColmapModel

    @property
    def train(self) -> tuple[CaptureView, ...]:
        """The views to learn from: all others."""
        return tuple(view for i, view in enumerate(self.views) if not _is_test(i, view))

    @property
    def test(self) -> tuple[CaptureView, ...]:
        """The views held out: those that the capture's files name, or every 8th by name, beginning
        with the first."""
        return tuple(view for i, view in enumerate(self.views) if _is_test(i, view))

    def digest(self) -> str:
        """SHA-256 over the model's files and the photos' names and sizes, in hexadecimal."""
        digest = hashlib.sha256()
        for path in self.model.files:
            digest.update(f"{path.name}\n".encode())
            digest.update(path.read_bytes())
        for view in self.views:
            size = view.photo.path.stat().st_size
            digest.update(f"{view.name} {view.photo.size} {size}\n".encode())
        return digest.hexdigest()


def load_capture(
    path: str | Path,
    *,
    max_size: int | None = None,
    images: str | Path | None = None,
    cache_bytes: int = CACHE_BYTES,
    sfm: bool | str | Path = False,
    sfm_progress: Report | None = None,
) -> Capture:
    """Reads a capture: the COLMAP model in `path` and the photos in `path`/images, or else
    transforms.json and the photos that it names.

    Photos are decoded when they are first used, but all of them are found and measured here.
    Lens distortion is taken out, see `scenes.photos.undistort`.

    Args:
        path: folder of the capture, or of its model, or its transforms.json.
        max_size: photos are shrunk to this many pixels on their longest side.
        images: folder of the photos, absolute or relative to `path`, if not `path`/images.
        cache_bytes: memory for decoded photos.
        sfm: whether photos without a model are given to COLMAP, which takes minutes and needs
            pycolmap. The model is kept for the next time: in a cache, or in the folder named here.
        sfm_progress: called with what COLMAP does, how many photos are done and how many there are;
            by default a line is logged for each thing it does.

    Raises:
        InputError: there is no model and COLMAP cannot make one, it is damaged, photos are missing
            or do not fit it, or there are fewer than three.
    """
    root = Path(path)
    if not is_capture_path(root):
        raise InputError(f"{root}: no such folder")
    if max_size is not None and max_size < 1:
        raise InputError(f"the longest side of a photo must be at least 1 pixel, not {max_size}")
    repairs: list[str] = []
    wanted = Sfm(sfm is not False, None if isinstance(sfm, bool) else Path(sfm), sfm_progress)
    model = read_source(root, repairs, None if images is None else Path(images), wanted)
    if len(model.images) < MIN_VIEWS:
        raise InputError(
            f"{model.images_file}: {len(model.images)} usable images; "
            f"at least {MIN_VIEWS} are needed"
        )
    ordered = sorted(model.images, key=lambda image: image.name)
    photos = _photos(model, ordered, _image_folder(root, images, model), max_size, repairs)
    points = _finite(model.points, model.files[-1], repairs)
    centres = np.array([image.centre for image in ordered])
    origin = _origin(centres, points.xyz)
    if origin.any():
        repairs.append(f"{model.folder}: moved the scene to zero, by {_numbers(-origin)}")
    cache = PhotoCache(cache_bytes)
    views = tuple(
        CaptureView(
            name=image.name.replace("\\", "/"),
            camera=_camera(image, photo.lens, origin),
            photo=photo,
            _cache=cache,
            held_out=image.held_out,
        )
        for image, photo in zip(ordered, photos, strict=True)
    )
    return Capture(
        name=capture_name(root),
        views=views,
        points=torch.from_numpy((points.xyz - origin).astype(np.float32)),
        point_colors=torch.from_numpy(points.rgb.copy()),
        origin=torch.from_numpy(origin),
        repairs=tuple(repairs),
        model=model,
    )


def _is_test(index: int, view: CaptureView) -> bool:
    return index % TEST_EVERY == 0 if view.held_out is None else view.held_out


def _bases(root: Path) -> list[Path]:
    """Where the capture may begin: `root`, or above it if it is the model folder itself."""
    root = root.resolve()
    return [root, *root.parents[:2]] if model_suffix(root) else [root]


def capture_name(root: Path) -> str:
    """What a capture at `root`, its folder, that of its model or a file in it, is called."""
    folder = root.resolve()
    folder = folder.parent if folder.is_file() else folder
    if model_suffix(folder):  # perhaps CAPTURE/sparse/0
        folder = folder.parent if folder.name.isdigit() else folder
        folder = folder.parent if folder.name == "sparse" else folder
    return folder.name or "scene"


def _image_folder(root: Path, images: str | Path | None, model: ColmapModel) -> Path:
    root = root.parent if root.is_file() else root
    if images is not None:
        folder = root / images
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of photos")
        return folder
    if model.photos is not None:
        return model.photos
    folders = (base / "images" for base in _bases(root))
    return next((folder for folder in folders if folder.is_dir()), root)


def _photos(
    model: ColmapModel,
    images: list[ColmapImage],
    folder: Path,
    max_size: int | None,
    repairs: list[str],
) -> list[Photo]:
    """Finds and measures the photo of each image, and scales its lens to the size to be used."""
    lenses: dict[int, Lens] = {}
    for camera_id in {image.camera_id for image in images}:
        try:
            lenses[camera_id] = lens_of(model.cameras[camera_id])
        except InputError as error:
            raise InputError(f"{model.files[0]}: {error}") from error
    paths = find_photos(folder, [image.name for image in images], repairs)
    photos: list[Photo] = []
    for image in images:
        path, lens = paths[image.name], lenses[image.camera_id]
        size = photo_size(path)
        check_size(path, size, lens.size)
        photos.append(Photo(path, size, lens.resized(fit_within(size, max_size))))
    return photos


def _finite(points: ColmapPoints, path: Path, repairs: list[str]) -> ColmapPoints:
    """The points whose coordinates are numbers."""
    # float32 overflows long before float64 does.
    good = (np.abs(points.xyz) < np.finfo(np.float32).max).all(1)
    bad = int((~good).sum())
    if not bad:
        return points
    repairs.append(
        f"{path}: left out {bad} of {len(points)} points whose coordinates are not finite "
        f"(the first is point {int(np.argmin(good)) + 1} of the file)"
    )
    return ColmapPoints(
        xyz=points.xyz[good],
        rgb=points.rgb[good],
        errors=points.errors[good],
        track_lengths=points.track_lengths[good],
        track_images=points.track_images[np.repeat(good, points.track_lengths)],
    )


def _origin(centres: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle of a scene that lies far from zero (see FAR_FROM_ZERO), else zeros."""
    places = np.concatenate([centres, points])
    # Medians, so that a few points near infinity do not decide.
    middle = np.median(places, axis=0)
    extent = float(np.median(np.linalg.norm(places - middle, axis=1)))
    if np.linalg.norm(middle) > FAR_FROM_ZERO * extent:
        return middle
    return np.zeros(3)


def _camera(image: ColmapImage, lens: Lens, origin: NDArray[np.float64]) -> Camera:
    # x_camera = R x + t = R (x - origin) + (t + R origin), in float64 as both terms are large.
    pose = np.eye(4)
    pose[:3, :3] = image.rotation
    pose[:3, 3] = image.tvec + image.rotation @ origin
    return Camera(
        world_to_camera=torch.from_numpy(pose.astype(np.float32)),
        intrinsics=torch.from_numpy(lens.intrinsics.astype(np.float32)),
        size=lens.size,
    )


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.9g}" for value in values)

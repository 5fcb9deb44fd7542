"""Finding, reading and repairing a sparse COLMAP model.

COLMAP's own reader refuses a model for one bad line, and drops images without a word where a text
exporter left lines out. This one takes what can be taken, and says for each thing what it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import InputError
from . import binary as colmap_binary
from . import text as colmap_text
from .model import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints
from .point_clouds import read_ply_points
from .which_files import find_points, model_suffix, newest_suffix

_READERS = {".bin": colmap_binary, ".txt": colmap_text}
_PLACES = ("sparse", "colmap/sparse", ".")
_UNDISTORTED = ("dense/*/sparse", "dense/*/sparse/0", "dense/sparse", "colmap/dense/*/sparse")


def find_model(root: Path, repairs: list[str]) -> Path:
    """The folder of the sparse model of a capture: the first that `find_models` gives.

    Raises:
        InputError: there is no model.
    """
    folder = next(find_models(root, repairs), None)
    if folder is None:
        raise InputError(
            f"{root}: no COLMAP model: no cameras and images (.bin or .txt) in sparse/0, sparse, "
            "colmap/sparse/0, dense/0/sparse or the folder itself; run COLMAP on the photos first"
        )
    return folder


def find_models(root: Path, repairs: list[str]) -> Iterator[Path]:
    """The folders of sparse models of a capture, best first.

    Looks in sparse/<n>, sparse, colmap/sparse/<n>, colmap/sparse and `root` itself. Several
    numbered models are reconstructions that COLMAP could not join: the one with most images wins.
    Then come dense/<n>/sparse and dense/sparse, models of photos that COLMAP has undistorted.
    """
    for place in _PLACES:
        folder = root / place
        numbered = sorted(
            (child for child in _folders(folder) if child.name.isdecimal() and model_suffix(child)),
            key=lambda child: int(child.name),
        )
        if len(numbered) > 1:
            yield _largest(numbered, repairs)
        elif numbered or model_suffix(folder):
            yield numbered[0] if numbered else folder
    for place in _UNDISTORTED:
        found = [folder for folder in sorted(root.glob(place)) if model_suffix(folder)]
        if found:
            yield found[0] if len(found) == 1 else _largest(found, repairs)


def home_of(model: Path) -> Path:
    """The folder of the capture that a model at sparse/<n>, sparse or elsewhere belongs to."""
    folder = model.resolve()
    folder = folder.parent if folder.name.isdecimal() else folder
    return folder.parent if folder.name == "sparse" else model.resolve()


def is_undistorted(home: Path) -> bool:
    """Whether `home` is what COLMAP's image_undistorter makes: a model with photos of its own."""
    return "dense" in (home.name, home.parent.name)


def _folders(folder: Path) -> Iterable[Path]:
    return (child for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else ()


def _largest(folders: list[Path], repairs: list[str]) -> Path:
    counts = [_count_images(folder) for folder in folders]
    best = counts.index(max(counts))
    others = ", ".join(
        f"{folder.parent.name if folder.name == 'sparse' else folder.name} has {count}"
        for index, (folder, count) in enumerate(zip(folders, counts, strict=True))
        if index != best
    )
    repairs.append(
        f"{folders[best]}: took this one of {len(folders)} separate models, "
        f"with {counts[best]} images ({others})"
    )
    return folders[best]


def _count_images(folder: Path) -> int:
    if newest_suffix(folder, []) == ".bin":
        return colmap_binary.count_records(folder / "images.bin")
    return len(colmap_text.read_images(folder / "images.txt", []))


def read_model(folder: Path) -> ColmapModel:
    """Reads the model in `folder`, binary or text; rigs and frames are not needed.

    Cameras and images that cannot be used (see `ColmapModel.repairs`) are left out.

    Raises:
        InputError: there is no model, or a file is cut short or malformed.
    """
    repairs: list[str] = []
    suffix = newest_suffix(folder, repairs)
    if suffix is None:
        raise InputError(f"{folder}: no COLMAP model: no cameras and images (.bin or .txt)")
    reader = _READERS[suffix]
    files = tuple(folder / f"{stem}{suffix}" for stem in ("cameras", "images"))
    all_cameras = reader.read_cameras(files[0], repairs)
    all_images = reader.read_images(files[1], repairs)
    points_file = find_points(folder, suffix, repairs)
    if points_file is None:
        repairs.append(f"{folder / f'points3D{suffix}'}: is missing; went on without points")
        points = ColmapPoints.none()
    else:
        points = _read_points(points_file, repairs)
        files = (*files, points_file)
        _check_tracks(points, all_images, points_file, repairs)
    cameras = _usable_cameras(all_cameras, files[0], repairs)
    images = _usable_images(all_images, cameras, files[1], repairs)
    return ColmapModel(folder, files, cameras, images, points, repairs)


def _read_points(path: Path, repairs: list[str]) -> ColmapPoints:
    if path.suffix == ".ply":
        return read_ply_points(path, repairs)
    return _READERS[path.suffix].read_points(path, repairs)


def _usable_cameras(
    cameras: list[ColmapCamera], path: Path, repairs: list[str]
) -> dict[int, ColmapCamera]:
    usable: dict[int, ColmapCamera] = {}
    for camera in cameras:
        if camera.camera_id in usable:
            repairs.append(f"{path}: camera {camera.camera_id} is there twice; kept the first")
        elif not _plausible(np.array(camera.params)):
            repairs.append(
                f"{path}: left out camera {camera.camera_id}: its parameters are not all numbers"
            )
        elif not (0 < camera.width < limits.SIDE and 0 < camera.height < limits.SIDE):
            repairs.append(
                f"{path}: left out camera {camera.camera_id}: "
                f"its size is {camera.width} x {camera.height}"
            )
        else:
            usable[camera.camera_id] = camera
    return usable


def _plausible(values: NDArray[np.float64]) -> bool:
    return bool((np.abs(values) < limits.VALUE).all())


def _usable_images(
    images: list[ColmapImage], cameras: dict[int, ColmapCamera], path: Path, repairs: list[str]
) -> list[ColmapImage]:
    usable: dict[str, ColmapImage] = {}
    for image in images:
        fault = _fault(image, cameras, usable)
        if fault:
            repairs.append(f"{path}: left out image {image.image_id} ({image.name}): {fault}")
        else:
            usable[image.name] = image
    return list(usable.values())


def _fault(
    image: ColmapImage, cameras: dict[int, ColmapCamera], taken: dict[str, ColmapImage]
) -> str | None:
    """Why an image cannot be used, or None."""
    if not (_plausible(image.qvec) and _plausible(image.tvec)):
        return "its pose is not all numbers"
    if not np.linalg.norm(image.qvec) > 0:
        return "its rotation is a zero quaternion"
    if image.camera_id not in cameras:
        return f"there is no usable camera {image.camera_id}"
    if image.name in taken:
        return f"image {taken[image.name].image_id} has the same name"
    return None


def _check_tracks(
    points: ColmapPoints, images: list[ColmapImage], path: Path, repairs: list[str]
) -> None:
    known = np.array([image.image_id for image in images], np.int64)
    strangers = points.track_images[~np.isin(points.track_images, known)]
    if strangers.size:
        repairs.append(
            f"{path}: ignored {strangers.size} observations in images that are not in the model "
            f"(the first in image {strangers[0]})"
        )

"""Which reader a capture takes: COLMAP's models, transforms.json, or COLMAP itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .colmap.model import ColmapModel
from .colmap.reading import find_model, find_models, read_model
from .errors import InputError
from .photos.decoding import read_header
from .sfm.running import Report, how_to_run, kept_model, photo_folder, reconstruct
from .transforms.reading import find_transforms, read_transforms


@dataclass(frozen=True)
class Sfm:
    """What to do with photos that have no model."""

    wanted: bool = False  # whether to make one
    folder: Path | None = None  # where it is kept, if not in the cache
    report: Report | None = None  # told of progress


def is_capture_path(root: Path) -> bool:
    """Whether there is a folder here, or a file that names a capture by itself."""
    return root.is_dir() or bool(find_transforms(root))


def capture_folder(root: Path) -> Path:
    """The folder of the capture at `root`, which may be a file in it."""
    return root.parent if root.is_file() else root


def read_source(root: Path, repairs: list[str], images: Path | None, sfm: Sfm) -> ColmapModel:
    """The model of the capture at `root`: its folder, that of its model, or its transforms.json.

    A COLMAP model goes first: it has points with tracks. Who wants the other one names its file.
    Photos alone, in `images` or where people put them, are given to COLMAP if that is wanted.

    Raises:
        InputError: there is no model, or it is damaged.
    """
    transforms = find_transforms(root)
    folder = next(find_models(root, repairs), None)
    if folder is not None:
        model = read_model(folder)
        if transforms:
            repairs.append(
                f"{transforms[0]}: is not used, as there is a COLMAP model in {model.folder}; "
                "to use it, name this file instead of its folder"
            )
        return model
    return read_transforms(transforms) if transforms else _of_photos(root, repairs, images, sfm)


def _of_photos(root: Path, repairs: list[str], images: Path | None, sfm: Sfm) -> ColmapModel:
    photos, names = photo_folder(images or root)
    if not names:
        find_model(root, repairs)  # which says where it looked
    if not sfm.wanted:
        raise InputError(
            f"{root}: no COLMAP model, in sparse/0, sparse, colmap/sparse/0 or the folder itself, "
            f"and no transforms.json, but {len(names)} photos: {how_to_run(root, photos)}"
        )
    names = _readable(photos, names, repairs)
    folder = sfm.folder or kept_model(photos, names)
    reconstruct(photos, names, folder, sfm.report)
    model = read_model(find_model(folder, repairs))
    _say_who_is_missing(photos, names, model, repairs)
    return replace(model, photos=photos)


def _readable(photos: Path, names: Sequence[str], repairs: list[str]) -> list[str]:
    readable: list[str] = []
    for name in names:
        try:
            read_header(photos / name)
            readable.append(name)
        except InputError as error:
            repairs.append(f"left out {name}: {error}")
    return readable


def _say_who_is_missing(
    photos: Path, names: Sequence[str], model: ColmapModel, repairs: list[str]
) -> None:
    missing = sorted(set(names) - {image.name for image in model.images})
    if missing:
        repairs.append(
            f"{photos}: COLMAP could not place {len(missing)} of {len(names)} photos "
            f"(the first is {missing[0]})"
        )

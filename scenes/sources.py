"""Which reader a capture takes: COLMAP's models, or transforms.json."""

from __future__ import annotations

from pathlib import Path

from .colmap.model import ColmapModel
from .colmap.reading import find_model, model_folders, read_model
from .errors import InputError
from .transforms.reading import find_transforms, read_transforms


def is_capture_path(root: Path) -> bool:
    """Whether there is a folder here, or a file that names a capture by itself."""
    return root.is_dir() or bool(find_transforms(root))


def read_source(root: Path, repairs: list[str]) -> ColmapModel:
    """The model of the capture at `root`: its folder, that of its model, or its transforms.json.

    A COLMAP model goes first: it has points with tracks. Who wants the other one names its file.

    Raises:
        InputError: there is no model, or it is damaged.
    """
    transforms = find_transforms(root)
    if root.is_dir() and (model_folders(root) or not transforms):
        model = read_model(find_model(root, repairs))
        if transforms:
            repairs.append(
                f"{transforms[0]}: is not used, as there is a COLMAP model in {model.folder}; "
                "to use it, name this file instead of its folder"
            )
    elif transforms:
        model = read_transforms(transforms)
    else:
        raise InputError(f"{root}: no such folder")
    repairs += model.repairs
    return model

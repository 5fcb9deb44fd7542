"""Writing transforms.json: the cameras of rendered pictures, as nerfstudio has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...renderer.cameras import Camera

Intrinsics = Mapping[str, float | str]
"""`camera_model`, `fl_x`, `fl_y`, `cx`, `cy` and what else the model takes."""


def transforms_json(
    cameras: Sequence[Camera],
    files: Sequence[Mapping[str, str]],
    origin: tuple[float, float, float],
    *,
    lens: Intrinsics | None = None,
    said: Mapping[str, Any] | None = None,
) -> str:
    """A transforms.json in the frame of the capture, which our own reader gives back.

    Args:
        cameras: one a picture.
        files: of each picture, its files by their keys, `file_path` among them, relative to the
            document.
        origin: what was subtracted from the capture's coordinates for `cameras`.
        lens: of all pictures, if it is no pinhole.
        said: what else the document says.
    """
    intrinsics = [_size(each) | dict(lens or _pinhole(each)) for each in cameras]
    # In one place where they are all the same; else every frame has all of them.
    shared = intrinsics[0] if all(each == intrinsics[0] for each in intrinsics) else {}
    frames = [
        {**names, **({} if shared else own), "transform_matrix": _matrix(camera, origin)}
        for camera, own, names in zip(cameras, intrinsics, files, strict=True)
    ]
    return json.dumps({**shared, **(said or {}), "frames": frames}, indent=1)


def _size(camera: Camera) -> dict[str, float | str]:
    return {"w": camera.size[0], "h": camera.size[1]}


def _pinhole(camera: Camera) -> Intrinsics:
    k = camera.intrinsics.double()
    place = {"fl_x": (0, 0), "fl_y": (1, 1), "cx": (0, 2), "cy": (1, 2)}
    return {"camera_model": "PINHOLE", **{key: float(k[at]) for key, at in place.items()}}


def _matrix(camera: Camera, origin: tuple[float, float, float]) -> list[list[float]]:
    """[4][4] camera to world, with OpenGL's axes: x right, y up, looking along -z."""
    pose = np.asarray(camera.world_to_camera.detach().to("cpu", torch.float64))
    matrix = np.eye(4)
    matrix[:3, :3] = pose[:3, :3].T * [1, -1, -1]
    matrix[:3, 3] = -pose[:3, :3].T @ pose[:3, 3] + origin
    return matrix.tolist()

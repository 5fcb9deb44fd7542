"""Small COLMAP captures for tests: a ring of cameras around a ball of points, and its files.

Written from COLMAP's format description, with nothing of the package that reads it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

MODELS = {
    "SIMPLE_PINHOLE": (0, ("f", "cx", "cy")),
    "PINHOLE": (1, ("fx", "fy", "cx", "cy")),
    "SIMPLE_RADIAL": (2, ("f", "cx", "cy", "k")),
    "RADIAL": (3, ("f", "cx", "cy", "k1", "k2")),
    "OPENCV": (4, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")),
    "OPENCV_FISHEYE": (5, ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")),
    "FULL_OPENCV": (6, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")),
    "EQUIRECTANGULAR": (17, ("w", "h")),
}
"""Model ids and parameters of the camera models that tests write."""


@dataclass
class Camera:
    """One line of cameras.txt."""

    camera_id: int
    model: str
    size: tuple[int, int]
    params: tuple[float, ...]


@dataclass
class View:
    """Two lines of images.txt."""

    image_id: int
    qvec: np.ndarray  # [4] wxyz
    tvec: np.ndarray  # [3]
    camera_id: int
    name: str


@dataclass
class Model:
    """A whole sparse model. Points are seen by every image in `track`."""

    cameras: list[Camera]
    views: list[View]
    xyz: np.ndarray  # [P, 3]
    rgb: np.ndarray  # [P, 3]
    track: list[int] = field(default_factory=list)


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """[4] wxyz of a rotation matrix, by its largest eigenvector (Bar-Itzhack)."""
    r = rotation
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
            [r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
            [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1], 0],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r.trace()],
        ]
    )
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]
    return np.array([w, x, y, z])


def ring(count: int = 9, size: tuple[int, int] = (64, 48), points: int = 50) -> Model:
    """`count` PINHOLE views of the origin from 4 units away, ids with gaps and out of order."""
    width, height = size
    camera = Camera(3, "PINHOLE", size, (60.0, 62.0, width / 2, height / 2 + 1))
    views: list[View] = []
    for i in range(count):
        angle = 2 * np.pi * i / count
        centre = 4.0 * np.array([np.sin(angle), -0.2, -np.cos(angle)])
        forward = -centre / np.linalg.norm(centre)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        name = f"{count - i:04d}.png"
        pose = (quaternion(rotation), -rotation @ centre)
        views.append(View(10 * (count - i), *pose, camera.camera_id, name))
    random = np.random.default_rng(7)
    return Model(
        cameras=[camera],
        views=views,
        xyz=random.normal(size=(points, 3)) * 0.4,
        rgb=random.integers(0, 256, (points, 3)),
        track=[view.image_id for view in views[:3]],
    )


def point_id(index: int) -> int:
    """Ids of points have gaps."""
    return 5 + 2 * index


def observations(model: Model, view: View) -> list[tuple[float, float, int]]:
    """What an image claims to have seen: x, y, point id; the first belongs to no point."""
    seen = range(len(model.xyz)) if view.image_id in model.track else ()
    return [(10.5, 20.25, -1), *((30.0, 40.0 + i, point_id(i)) for i in seen)]


def write_text(model: Model, folder: Path) -> Path:
    """Writes the model in text, as COLMAP does."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = [
        f"{c.camera_id} {c.model} {c.size[0]} {c.size[1]} {' '.join(map(repr, c.params))}"
        for c in model.cameras
    ]
    images: list[str] = []
    for v in model.views:
        pose = " ".join(repr(float(value)) for value in (*v.qvec, *v.tvec))
        images.append(f"{v.image_id} {pose} {v.camera_id} {v.name}")
        images.append(" ".join(f"{x} {y} {i}" for x, y, i in observations(model, v)))
    points: list[str] = []
    for i, (xyz, (r, g, b)) in enumerate(zip(model.xyz, model.rgb, strict=True)):
        track = "".join(f" {image} {i + 1}" for image in model.track)
        position = " ".join(repr(float(value)) for value in xyz)
        points.append(f"{point_id(i)} {position} {r} {g} {b} 0.5{track}")
    for stem, lines in (("cameras", cameras), ("images", images), ("points3D", points)):
        text = "".join(f"{line}\n" for line in ("# a comment, as COLMAP writes one", *lines))
        (folder / f"{stem}.txt").write_bytes(text.encode())
    return folder


def write_binary(model: Model, folder: Path) -> Path:
    """Writes the model in binary, as COLMAP does."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = struct.pack("<Q", len(model.cameras))
    for c in model.cameras:
        cameras += struct.pack("<IiQQ", c.camera_id, MODELS[c.model][0], *c.size)
        cameras += struct.pack(f"<{len(c.params)}d", *c.params)
    images = struct.pack("<Q", len(model.views))
    for v in model.views:
        images += struct.pack("<I7dI", v.image_id, *v.qvec, *v.tvec, v.camera_id)
        seen = observations(model, v)
        images += v.name.encode() + b"\0" + struct.pack("<Q", len(seen))
        images += b"".join(struct.pack("<ddq", *point) for point in seen)
    points = struct.pack("<Q", len(model.xyz))
    for i, (xyz, rgb) in enumerate(zip(model.xyz, model.rgb, strict=True)):
        points += struct.pack("<Q3d3Bd", point_id(i), *xyz, *map(int, rgb), 0.5)
        points += struct.pack("<Q", len(model.track))
        points += b"".join(struct.pack("<II", image, i + 1) for image in model.track)
    for stem, data in (("cameras", cameras), ("images", images), ("points3D", points)):
        (folder / f"{stem}.bin").write_bytes(data)
    return folder


def photo(size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] RGB whose red is the column, green the row (both times 2), blue a constant."""
    width, height = size
    image = np.full((height, width, 3), 40, np.uint8)
    image[..., 0] = np.arange(width)[None, :] * 2 % 256
    image[..., 1] = np.arange(height)[:, None] * 2 % 256
    return image


def write_photos(model: Model, folder: Path, scale: float = 1.0) -> Path:
    """A photo per image, at `scale` times the size of its camera."""
    sizes = {camera.camera_id: camera.size for camera in model.cameras}
    for view in model.views:
        width, height = sizes[view.camera_id]
        path = folder / view.name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = photo((round(width * scale), round(height * scale)))
        cv2.imwrite(str(path), image[..., ::-1])
    return folder


def write_capture(model: Model, folder: Path, *, binary: bool = True) -> Path:
    """A folder with images/ and sparse/0/, as COLMAP leaves it."""
    write_photos(model, folder / "images")
    (write_binary if binary else write_text)(model, folder / "sparse" / "0")
    return folder

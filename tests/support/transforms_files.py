"""transforms.json as other programs write it of a COLMAP capture.

Written from their documentation, with COLMAP's own reader and nothing of the package under test.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""From cameras that look along -z with y up to COLMAP's."""
NERFSTUDIO = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""How nerfstudio turns COLMAP's world: y down becomes z up."""


@dataclass
class Source:
    """A COLMAP capture as its own reader sees it."""

    folder: Path
    model: pycolmap.Reconstruction

    @classmethod
    def of(cls, folder: Path) -> Source:
        """The capture with images/ and sparse/0/ in `folder`."""
        return cls(folder, pycolmap.Reconstruction(str(folder / "sparse" / "0")))

    def poses(self) -> dict[str, np.ndarray]:
        """[4, 4] camera -> world with OpenGL's axes, by name."""
        return {
            image.name: np.vstack([image.cam_from_world().inverse().matrix(), [0, 0, 0, 1]])
            @ OPENGL
            for image in self.model.images.values()
        }

    def copy_photos(self, folder: Path) -> None:
        """All photos, to `folder`, unless it is theirs."""
        if folder != self.folder / "images":
            shutil.copytree(self.folder / "images", folder, dirs_exist_ok=True)

    def write_ply(self, path: Path, transform: np.ndarray) -> None:
        """The points, moved, as nerfstudio writes them: in text, with doubles."""
        points = [point for _, point in sorted(self.model.points3D.items())]
        lines = ["ply", "format ascii 1.0", f"element vertex {len(points)}"]
        lines += [f"property float {axis}" for axis in "xyz"]
        lines += [f"property uint8 {color}" for color in ("red", "green", "blue")]
        lines += ["end_header"]
        for point in points:
            xyz = transform[:3, :3] @ point.xyz + transform[:3, 3]
            numbers = [*map(repr, map(float, xyz)), *map(str, map(int, point.color))]
            lines.append(" ".join(numbers))
        path.write_text("\n".join(lines) + "\n")


def intrinsics(camera: pycolmap.Camera) -> dict[str, Any]:
    """The keys that instant-ngp and nerfstudio have for a camera."""
    names = [name.strip() for name in camera.params_info.split(",")]
    keys = dict(zip(names, map(float, camera.params), strict=True))
    focal = keys.pop("f", None)
    if focal is not None:
        keys |= {"fx": focal, "fy": focal}
    if "k" in keys:
        keys["k1"] = keys.pop("k")
    keys["fl_x"], keys["fl_y"] = keys.pop("fx"), keys.pop("fy")
    return {"w": camera.width, "h": camera.height, **keys}


def write_nerfstudio(source: Source, folder: Path, points: bool = True) -> dict[str, Any]:
    """As ns-process-data does: one camera for all, a turned world, points beside. Returns what was
    written."""
    source.copy_photos(folder / "images")
    (camera,) = source.model.cameras.values()
    document = {
        **intrinsics(camera),
        "camera_model": "OPENCV",
        "applied_transform": NERFSTUDIO[:3].tolist(),
        "frames": [
            {"file_path": f"images/{name}", "transform_matrix": (NERFSTUDIO @ pose).tolist()}
            for name, pose in source.poses().items()
        ],
    }
    if points:
        source.write_ply(folder / "sparse_pc.ply", NERFSTUDIO)
        document["ply_file_path"] = "sparse_pc.ply"
    write_document(folder, document)
    return document


def write_instant_ngp(source: Source, folder: Path) -> tuple[np.ndarray, float]:
    """As colmap2nerf.py does: floats for sizes, angles besides, the world turned, centred and
    scaled for good. Returns the [4, 4] turn and shift, and the scale that came after them."""
    source.copy_photos(folder / "images")
    (camera,) = source.model.cameras.values()
    keys = intrinsics(camera)
    turn = np.array([[0, -1.0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    turned = {name: turn @ pose for name, pose in source.poses().items()}
    centre = np.mean([pose[:3, 3] for pose in turned.values()], axis=0)
    turn[:3, 3] = -centre
    distances = [np.linalg.norm(pose[:3, 3] - centre) for pose in turned.values()]
    scale = 4.0 / float(np.mean(distances))
    frames: list[dict[str, Any]] = []
    for name, pose in source.poses().items():
        moved = turn @ pose
        moved[:3, 3] *= scale
        path = f"./images/{name}"
        frames.append({"file_path": path, "sharpness": 90.5, "transform_matrix": moved.tolist()})
    document = {
        "camera_angle_x": 2 * math.atan(keys["w"] / (2 * keys["fl_x"])),
        "camera_angle_y": 2 * math.atan(keys["h"] / (2 * keys["fl_y"])),
        **keys,
        "w": float(keys["w"]),
        "h": float(keys["h"]),
        "is_fisheye": False,
        "aabb_scale": 32,
        "frames": frames,
    }
    write_document(folder, document)
    return turn, scale


def write_blender(source: Source, folder: Path, tested: set[str]) -> None:
    """As the synthetic NeRF sets are: photos in train/ and test/, named without their ending; one
    angle of view and nothing else, so that the camera must have square pixels and be centred."""
    (camera,) = source.model.cameras.values()
    angle = 2 * math.atan(camera.width / (2 * camera.focal_length_x))
    for part in ("train", "test"):
        frames: list[dict[str, Any]] = []
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name, pose in source.poses().items():
            if (name in tested) == (part == "test"):
                shutil.copy(source.folder / "images" / name, folder / part)
                path = f"./{part}/{Path(name).stem}"
                frames.append(
                    {"file_path": path, "rotation": 0.01, "transform_matrix": pose.tolist()}
                )
        document = {"camera_angle_x": angle, "frames": frames}
        write_document(folder, document, f"transforms_{part}.json")


def write_document(folder: Path, document: dict[str, Any], name: str = "transforms.json") -> Path:
    """Writes a document as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path

"""Makes the demo capture from the original photos of Lund door:

    python -m gaborsplat.scenes.demo.make PATH/TO/lund_door


The photos become a third of their size, without their last row, so that both axes scale alike. The
model keeps cameras, poses and points; the 2D observations and tracks, most of its bytes, are left
out.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2

from ..colmap.camera_models import MODEL_NAMES
from ..colmap.model import ColmapCamera, ColmapImage, ColmapPoints
from ..colmap.reading import find_model, read_model

SHRINK = 3
QUALITY = 90


def _cameras(cameras: Iterable[ColmapCamera]) -> Iterable[bytes]:
    for camera in cameras:
        focal, cx, cy, k = camera.params  # SIMPLE_RADIAL
        yield struct.pack(
            "<IiQQ4d",
            camera.camera_id,
            MODEL_NAMES.index(camera.model),
            camera.width // SHRINK,
            camera.height // SHRINK,
            *(focal / SHRINK, cx / SHRINK, cy / SHRINK, k),
        )


def _images(images: Iterable[ColmapImage]) -> Iterable[bytes]:
    for image in images:
        pose = (*image.qvec, *image.tvec)
        yield struct.pack("<I7dI", image.image_id, *pose, image.camera_id)
        yield image.name.encode() + b"\0" + struct.pack("<Q", 0)


def _points(points: ColmapPoints) -> Iterable[bytes]:
    for i in range(len(points)):
        yield struct.pack("<Q3d3BdQ", i + 1, *points.xyz[i], *points.rgb[i], points.errors[i], 0)


def _write(path: Path, count: int, records: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", count) + b"".join(records))


def main(source: Path, target: Path) -> None:
    """Writes images/ and sparse/0/ of `target` from the capture `source`."""
    model = read_model(find_model(source, []))
    cameras, images, points = model.cameras.values(), model.images, model.points
    _write(target / "sparse/0/cameras.bin", len(cameras), _cameras(cameras))
    _write(target / "sparse/0/images.bin", len(images), _images(images))
    _write(target / "sparse/0/points3D.bin", len(points), _points(points))
    (target / "images").mkdir(exist_ok=True)
    for image in images:
        path = source / "images" / image.name
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if photo is None:
            raise SystemExit(f"{path}: cannot be read")
        width, height = photo.shape[1] // SHRINK, photo.shape[0] // SHRINK
        whole = photo[: height * SHRINK, : width * SHRINK]
        small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        cv2.imwrite(str(target / "images" / image.name), small, quality)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)

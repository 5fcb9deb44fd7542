"""One lens of each of COLMAP's camera models, for photos of 640 x 480."""

from __future__ import annotations

from gaborsplat.scenes.colmap.model import ColmapCamera
from gaborsplat.scenes.photos.lenses import Lens, lens_of

SIZE = (640, 480)
LENSES: dict[str, tuple[float, ...]] = {
    "SIMPLE_PINHOLE": (500, 310, 250),
    "PINHOLE": (500, 510, 310, 250),
    "SIMPLE_RADIAL": (500, 310, 250, -0.1),
    "RADIAL": (500, 310, 250, 0.1, -0.03),
    "OPENCV": (500, 510, 310, 250, 0.1, -0.05, 0.002, -0.003),
    "OPENCV_FISHEYE": (300, 305, 310, 250, 0.02, -0.01, 0.003, -0.001),
    "FULL_OPENCV": (500, 510, 310, 250, 0.1, -0.05, 0.002, -0.003, 0.01, 0.02, -0.01, 0.003),
    "FOV": (400, 410, 310, 250, 0.9),
    "SIMPLE_RADIAL_FISHEYE": (300, 310, 250, 0.02),
    "RADIAL_FISHEYE": (300, 310, 250, 0.02, -0.01),
    "THIN_PRISM_FISHEYE": (
        *(300, 305, 310, 250),
        *(0.02, -0.01, 0.002, -0.003, 0.003, -0.001, 0.004, -0.002),
    ),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        *(300, 305, 310, 250),
        *(0.02, -0.01, 0.003, -0.001, 5e-4, -2e-4, 0.002, -0.003, 0.004, -0.001, -0.002, 5e-4),
    ),
    "SIMPLE_DIVISION": (400, 310, 250, -0.2),
    "DIVISION": (400, 410, 310, 250, -0.2),
    "SIMPLE_FISHEYE": (300, 310, 250),
    "FISHEYE": (300, 305, 310, 250),
    "EUCM": (400, 410, 310, 250, 0.6, 1.1),
    "EQUIRECTANGULAR": (640, 480),
}


def lens(model: str, params: tuple[float, ...] | None = None) -> Lens:
    """The lens of a photo of 640 x 480, by default that of LENSES."""
    return lens_of(ColmapCamera(1, model, *SIZE, tuple(map(float, params or LENSES[model]))))

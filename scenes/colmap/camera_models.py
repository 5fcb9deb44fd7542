"""COLMAP's camera models: their ids, names and numbers of parameters.

Every model that COLMAP 4 writes is listed, also those whose photos cannot be undistorted here:
cameras.bin has no record lengths, so a reader that does not know one model loses all that follow.
"""

from __future__ import annotations

MODEL_NAMES: tuple[str, ...] = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
    "FULL_OPENCV",
    "FOV",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "THIN_PRISM_FISHEYE",
    "RAD_TAN_THIN_PRISM_FISHEYE",
    "SIMPLE_DIVISION",
    "DIVISION",
    "SIMPLE_FISHEYE",
    "FISHEYE",
    "EUCM",
    "EQUIRECTANGULAR",
)
"""Names by model id."""

PARAMETER_COUNTS: dict[str, int] = dict(
    zip(
        MODEL_NAMES,
        (3, 4, 4, 5, 8, 8, 12, 5, 4, 5, 12, 16, 4, 5, 3, 4, 6, 2),
        strict=True,
    )
)
"""Numbers of parameters by model name."""

"""COLMAP's camera models, all that COLMAP 4 writes: ids, names, parameters and formulas.

cameras.bin has no record lengths, so a reader that does not know one model loses all that follow.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import projections as formulas


@dataclass(frozen=True)
class CameraModel:
    """One kind of camera. Its id is its place in CAMERA_MODELS."""

    name: str
    parameters: str  # names, in the order of the files
    project: formulas.Projection  # from rays and all parameters but focal length and centre


CAMERA_MODELS = (
    CameraModel("SIMPLE_PINHOLE", "f cx cy", formulas.perspective),
    CameraModel("PINHOLE", "fx fy cx cy", formulas.perspective),
    CameraModel("SIMPLE_RADIAL", "f cx cy k", formulas.radial),
    CameraModel("RADIAL", "f cx cy k1 k2", formulas.radial),
    CameraModel("OPENCV", "fx fy cx cy k1 k2 p1 p2", formulas.opencv),
    CameraModel("OPENCV_FISHEYE", "fx fy cx cy k1 k2 k3 k4", formulas.fisheye),
    CameraModel("FULL_OPENCV", "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6", formulas.opencv),
    CameraModel("FOV", "fx fy cx cy omega", formulas.field_of_view),
    CameraModel("SIMPLE_RADIAL_FISHEYE", "f cx cy k", formulas.fisheye),
    CameraModel("RADIAL_FISHEYE", "f cx cy k1 k2", formulas.fisheye),
    CameraModel(
        "THIN_PRISM_FISHEYE",
        "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1",
        formulas.thin_prism_fisheye,
    ),
    CameraModel(
        "RAD_TAN_THIN_PRISM_FISHEYE",
        "fx fy cx cy k0 k1 k2 k3 k4 k5 p0 p1 s0 s1 s2 s3",
        formulas.rad_tan_thin_prism_fisheye,
    ),
    CameraModel("SIMPLE_DIVISION", "f cx cy k", formulas.division),
    CameraModel("DIVISION", "fx fy cx cy k", formulas.division),
    CameraModel("SIMPLE_FISHEYE", "f cx cy", formulas.fisheye),
    CameraModel("FISHEYE", "fx fy cx cy", formulas.fisheye),
    CameraModel("EUCM", "fx fy cx cy alpha beta", formulas.unified),
    CameraModel("EQUIRECTANGULAR", "w h", formulas.equirectangular),
)
"""The models by id."""

BY_NAME = {model.name: model for model in CAMERA_MODELS}
"""The models by name."""
ALIASES = {"SPHERICAL": "EQUIRECTANGULAR"}
"""What other programs call a model, and COLMAP's name for it; the parameters are the same."""

MODEL_NAMES = tuple(BY_NAME)
"""Names by model id."""
PARAMETER_COUNTS = {model.name: len(model.parameters.split()) for model in CAMERA_MODELS}
"""Numbers of parameters by model name."""

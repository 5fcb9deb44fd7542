"""Conversion between viser's cameras and the renderer's, scene bounds and initial viewpoints.

viser's `wxyz` rotates camera axes to world axes, and its camera axes are the renderer's (x right,
y down, z forward), so no axis is flipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import viser
from viser import transforms

from ..renderer.cameras import Camera
from ..renderer.splats import Splats
from .settings import Pose
from .values import is_number, is_vector

Vector = npt.NDArray[np.float64]  # [3]
Matrix = npt.NDArray[np.float64]  # [M, 3]

DEFAULT_UP: Vector = np.array([0.0, -1.0, 0.0])
"""Up direction of a scene without cameras: y points down in captures."""

DEFAULT_FOV = math.radians(60)
"""Vertical field of view of a scene without cameras [radians]."""

MAX_MEASURED = 200_000
"""Largest number of splats in a percentile; of more, an even selection is taken."""


FARTHEST = 1e9
"""Largest distance of a page's camera from zero: scenes are a few units large, but may lie at the
coordinates of a map."""

SHORTEST = 1e-6
"""Smallest length of an up direction, and distance of what a page's camera looks at: without one it
looks nowhere, and viser cannot turn it."""

NARROWEST, WIDEST = 1e-3, math.pi - 1e-3
"""Range of the vertical field of view of a page's camera [radians]."""

LARGEST_CANVAS = 2**20
"""Largest side of a page's canvas [px]."""

SMALLEST, LARGEST = 0.3, 50.0
"""Radii between which a scene is shown in its own unit: viser's page comes no nearer than 0.01 to
what it orbits around, and reads depths up to 168 in steps of 1e-5."""


@dataclass(frozen=True)
class Outlook:
    """A viewpoint, in the terms of viser's camera.

    Attributes:
        position: [3] camera centre in the world.
        look_at: [3] point that the camera looks at and orbits around.
        up: [3] direction that is up in the picture, of any length.
        fov: vertical field of view [radians].
    """

    position: Vector
    look_at: Vector
    up: Vector
    fov: float


@dataclass(frozen=True)
class Bounds:
    """Bounding sphere of the bulk of a scene, outliers aside.

    Attributes:
        centre: [3] in the world.
        radius: > 0, in the units of the world.
    """

    centre: Vector
    radius: float


@dataclass(frozen=True)
class NamedCamera:
    """A training camera with its photo.

    Attributes:
        name: name of the photo.
        camera: pose and intrinsics.
        photo: loads the photo, [H, W, 3] uint8 RGB, on any of the viewer's threads; None without.
    """

    name: str
    camera: Camera
    photo: Callable[[], torch.Tensor] | None = None


def is_camera(message: Mapping[str, Any]) -> bool:
    """Whether a page's message of its camera, decoded, makes sense: numbers of a reasonable size.

    viser keeps whatever comes, and moves the camera on from there. A hidden page's canvas has no
    size.
    """
    return (
        _is_pose(message.get("wxyz"), message.get("position"), message.get("fov"))
        and is_vector(message.get("look_at"), 3, 0.0, FARTHEST)
        and math.dist(message["look_at"], message["position"]) >= SHORTEST
        and is_vector(message.get("up_direction"), 3, SHORTEST, FARTHEST)
        and all(is_number(message.get(name, 0.0), 0.0, math.inf) for name in ("near", "far"))
        and all(
            isinstance(side := message.get(name), int) and 0 <= side <= LARGEST_CANVAS
            for name in ("image_width", "image_height")
        )
    )


def pose_of(camera: viser.CameraHandle) -> Pose | None:
    """The pose that a page reported; None if invalid, such as a hidden page's, without a canvas."""
    canvas = (int(camera.image_width), int(camera.image_height))
    wxyz, position = camera.wxyz.tolist(), camera.position.tolist()
    if min(canvas) <= 0 or not _is_pose(wxyz, position, camera.fov):
        return None
    w, x, y, z, *centre = (float(each) for each in (*wxyz, *position))
    return Pose((w, x, y, z), (centre[0], centre[1], centre[2]), float(camera.fov), canvas)


def camera_at(pose: Pose, size: tuple[int, int]) -> Camera:
    """The renderer's camera (float32, CPU) at `pose` for a picture of `size` (width, height)."""
    to_world = transforms.SO3(np.array(pose.wxyz)).normalize().as_matrix()
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = to_world.T
    world_to_camera[:3, 3] = -to_world.T @ np.array(pose.position)
    width, height = size
    focal = 0.5 * height / math.tan(0.5 * pose.fov)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Camera(_single(world_to_camera), _single(intrinsics), size)


def _single(matrix: Matrix) -> torch.Tensor:
    return torch.from_numpy(matrix.astype(np.float32))


def camera_to_world(camera: Camera) -> tuple[Matrix, Vector]:
    """Rotation [3, 3] from camera to world axes, and centre [3], of a renderer's camera."""
    return _numpy(camera.world_to_camera[:3, :3].T), _numpy(camera.position)


def vertical_fov(camera: Camera) -> float:
    """Vertical field of view of a camera [radians]."""
    return 2 * math.atan(0.5 * camera.size[1] / float(camera.intrinsics[1, 1]))


def up_direction(cameras: Sequence[Camera]) -> Vector:
    """Mean up direction of `cameras`, a unit vector; DEFAULT_UP if they share none."""
    ups = [-camera_to_world(camera)[0][:, 1] for camera in cameras]
    mean = np.mean(ups, axis=0) if ups else DEFAULT_UP
    length = float(np.linalg.norm(mean))
    # Cameras that look at a table from all sides with a random roll have no common up.
    return mean / length if length > 0.1 else DEFAULT_UP


def bounds_of(points: Matrix) -> Bounds:
    """Median of `points` [P, 3], and the radius around it that holds four fifths of them.

    Non-finite points do not count. A unit ball without points.
    """
    points = points[np.isfinite(points).all(axis=1)]
    points = points[:: max(1, len(points) // MAX_MEASURED)]
    if len(points) == 0:
        return Bounds(np.zeros(3), 1.0)
    centre = np.median(points, axis=0)
    radius = float(np.percentile(np.linalg.norm(points - centre, axis=1), 80))
    return Bounds(centre, radius if radius > 0 else 1.0)


def unit_for(bounds: Bounds) -> float:
    """A power of two that makes a scene a few units large; 1 if it is neither tiny nor huge."""
    if SMALLEST <= bounds.radius <= LARGEST:
        return 1.0
    return 2.0 ** math.floor(math.log2(bounds.radius))


def bounds_of_splats(splats: Splats) -> Bounds:
    """Bounds of the splats' centres, as `bounds_of` computes them."""
    step = max(1, len(splats) // MAX_MEASURED)
    return bounds_of(_numpy(splats.means[::step]))


def bounds_of_cameras(cameras: Sequence[Camera]) -> Bounds:
    """Point nearest to the optical axes of `cameras`, and their median distance from it.

    Parallel axes meet nowhere: a weak pull towards a point ahead of the cameras decides then. A
    unit ball without cameras.
    """
    if not cameras:
        return Bounds(np.zeros(3), 1.0)
    poses = [camera_to_world(camera) for camera in cameras]
    centres = np.array([centre for _, centre in poses])
    axes = np.array([rotation[:, 2] for rotation, _ in poses])
    middle = np.median(centres, axis=0)
    spread = float(np.linalg.norm(centres - middle, axis=1).mean()) or 1.0
    ahead = middle + 2 * spread * axes.mean(axis=0)
    pull = 0.01 * np.eye(3)
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # [C, 3, 3] removes the part along
    target = (across @ centres[:, :, None]).mean(axis=0)[:, 0] + pull @ ahead
    centre = np.asarray(np.linalg.solve(across.mean(axis=0) + pull, target), np.float64)
    return Bounds(centre, float(np.median(np.linalg.norm(centres - centre, axis=1))) or 1.0)


def outlook_of(camera: Camera, up: Vector, bounds: Bounds) -> Outlook:
    """The viewpoint of `camera`, which orbits around a point at the depth of the scene's centre.

    The up vector is the one nearest to `up` that leaves the picture unrolled, so that orbiting
    goes on around the scene's own axis.
    """
    rotation, position = camera_to_world(camera)
    right, camera_up, forward = rotation[:, 0], -rotation[:, 1], rotation[:, 2]
    level_up = up - float(up @ right) * right
    if float(level_up @ camera_up) < 0.05:
        level_up = camera_up
    depth = float((bounds.centre - position) @ forward)
    distance = max(depth, 0.1 * bounds.radius)
    return Outlook(position, position + distance * forward, level_up, vertical_fov(camera))


def overview_of(bounds: Bounds, up: Vector) -> Outlook:
    """A viewpoint that frames `bounds`, from slightly above; `up` is a unit vector."""
    ahead = np.array([0.0, 0.0, 1.0]) if abs(up[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    level = ahead - float(ahead @ up) * up
    direction = level / np.linalg.norm(level) - 0.35 * up
    distance = 1.4 * bounds.radius / math.sin(DEFAULT_FOV / 2)
    position = bounds.centre - distance * direction / np.linalg.norm(direction)
    return Outlook(position, bounds.centre, up, DEFAULT_FOV)


def go_to(client: viser.ClientHandle, outlook: Outlook) -> None:
    """Move a browser's camera to `outlook`."""
    camera = client.camera
    with client.atomic():
        camera.position = outlook.position
        camera.look_at = outlook.look_at
        camera.up_direction = outlook.up
        camera.fov = outlook.fov


def _is_pose(wxyz: object, position: object, fov: object) -> bool:
    """Whether a picture can be rendered from there: a quaternion near one of unit length."""
    return (
        is_vector(wxyz, 4, 0.5, 2.0)
        and is_vector(position, 3, 0.0, FARTHEST)
        and is_number(fov, NARROWEST, WIDEST)
    )


def _numpy(tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    return np.asarray(tensor.detach().to("cpu", torch.float64), dtype=np.float64)

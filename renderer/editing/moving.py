"""Splats turned, mirrored, made larger and moved, with all that they carry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..cameras import Camera
from ..reference import sh_basis
from ..rotations import product, to_quaternions
from ..splats import Splats

_TOLERANCE = 1e-4
"""How far, relative to its scale, a matrix may be from a similarity: written with five digits."""
_DIRECTIONS = 32
"""In which harmonics are compared to turn them; a band of degree 3 has seven of them."""


@dataclass(frozen=True)
class Similarity:
    """x -> scale * sign * rotation x + translation, all in double precision on the CPU.

    Attributes:
        scale: > 0.
        sign: 1, or -1 if it mirrors: at the origin, which with a rotation is every reflection.
        rotation: [3, 3] proper.
        translation: [3].
    """

    scale: float
    sign: float
    rotation: Tensor
    translation: Tensor

    @classmethod
    def of(cls, matrix: Tensor | Sequence[Sequence[float]]) -> Similarity:
        """What a [4, 4] matrix does to points.

        Raises:
            ValueError: it does something else, such as stretching one axis: a splat would then not
                have the colours and waves that it has.
        """
        m = torch.as_tensor(matrix, dtype=torch.float64, device="cpu").detach()
        if tuple(m.shape) != (4, 4):
            raise ValueError(f"a transformation is a 4x4 matrix, not {tuple(m.shape)}")
        if not torch.isfinite(m).all():
            raise ValueError("a transformation must be of finite numbers")
        if not torch.allclose(m[3], m.new_tensor([0.0, 0.0, 0.0, 1.0]), rtol=0, atol=1e-9):
            raise ValueError(f"the last row must be 0 0 0 1, not {_numbers(m[3])}")
        left, stretches, right = torch.linalg.svd(m[:3, :3])
        scale = float(stretches.mean())
        if not stretches[2] > 0:
            raise ValueError("flattens the scene: its determinant is 0")
        if float(stretches[0] - stretches[2]) > _TOLERANCE * scale:
            raise ValueError(
                "only turns, mirrors, scales evenly and moves; this stretches three directions "
                f"by {_numbers(stretches)}"
            )
        turn = left @ right
        sign = float(torch.linalg.det(turn).sign())
        return cls(scale, sign, sign * turn, m[:3, 3].clone())

    @property
    def matrix(self) -> Tensor:
        """[4, 4] float64."""
        m = torch.eye(4, dtype=torch.float64, device="cpu")
        m[:3, :3] = self.linear
        m[:3, 3] = self.translation
        return m

    @property
    def linear(self) -> Tensor:
        """[3, 3] without the translation."""
        return self.scale * self.sign * self.rotation


def transformed(splats: Splats, matrix: Tensor | Sequence[Sequence[float]]) -> Splats:
    """The same cloud elsewhere: centres, rotations, sizes, harmonics and waves follow.

    `transformed_camera` sees of it what the camera saw before.

    Args:
        splats: with any waves and harmonics, on any device.
        matrix: [4, 4] by rows, on column vectors: a rotation, a reflection, an even scale, a
            translation, or several of these.

    Raises:
        ValueError: the matrix is no similarity.
    """
    return moved(splats, Similarity.of(matrix))


def moved(splats: Splats, similarity: Similarity) -> Splats:
    """As `transformed`."""
    s, like = similarity, splats.means
    turn = to_quaternions(s.rotation[None])[0]
    means = like.double() @ s.linear.T.to(like.device) + s.translation.to(like.device)
    quats = product(turn.to(like.device), splats.quats.double())
    return replace(
        splats,
        means=means.to(like),
        quats=quats.to(like),
        scales=splats.scales * s.scale,
        sh=_turned(splats.sh, s),
        # A mirror takes y = S^-1 R^T (x - mean) to -y.
        frequencies=splats.frequencies * s.sign,
    )


def transformed_camera(camera: Camera, similarity: Similarity) -> Camera:
    """The camera that sees of the moved scene what `camera` saw; of a mirrored one the mirrored
    picture, left for right."""
    s = similarity
    before = camera.world_to_camera.detach().to("cpu", torch.float64)
    left_right = before.new_tensor([s.sign, 1.0, 1.0])
    turn = left_right[:, None] * before[:3, :3] @ (s.sign * s.rotation).T
    pose = before.clone()
    pose[:3, :3] = turn
    pose[:3, 3] = s.scale * left_right * before[:3, 3] - turn @ s.translation
    intrinsics = camera.intrinsics.clone()
    if s.sign < 0:
        intrinsics[0, 2] = camera.size[0] - intrinsics[0, 2]
    return Camera(pose.to(camera.world_to_camera), intrinsics, camera.size)


def rotation_about(axis: int, degrees: float) -> Tensor:
    """[3, 3] float64: the rotation about a coordinate axis, 0 to 2, by the right-hand rule."""
    turn = torch.eye(3, dtype=torch.float64, device="cpu")
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn[first, first] = turn[second, second] = math.cos(math.radians(degrees))
    turn[second, first] = math.sin(math.radians(degrees))
    turn[first, second] = -turn[second, first]
    return turn


def rotation_between(start: Tensor, end: Tensor) -> Tensor:
    """[3, 3] float64: the shortest rotation that takes the direction of `start` [3] to that of
    `end` [3], both of any length but 0."""
    a, b = (each.detach().to("cpu", torch.float64) / each.norm() for each in (start, end))
    # Half a turn about a, then one about the direction halfway to b; any between opposite ones.
    half = a + b
    if float(half.norm()) < 1e-6:
        axis = torch.zeros_like(a).index_fill(0, a.abs().argmin(), 1.0)
        half = axis - (axis @ a) * a
    half = half / half.norm()
    identity = torch.eye(3, dtype=torch.float64, device="cpu")
    return (2 * torch.outer(half, half) - identity) @ (2 * torch.outer(a, a) - identity)


def _turned(sh: Tensor, similarity: Similarity) -> Tensor:
    """[N, B, 3] coefficients after the rotation and reflection: band by band a matrix."""
    if sh.shape[1] == 1:
        return sh
    degree = int(sh.shape[1] ** 0.5) - 1
    bands = [sh[:, :1]]
    for band, matrix in enumerate(_band_matrices(similarity, degree), start=1):
        part = sh[:, band * band : (band + 1) * (band + 1)]
        bands.append(torch.einsum("ij,njc->nic", matrix.to(part), part))
    return torch.cat(bands, dim=1)


def _band_matrices(similarity: Similarity, degree: int) -> list[Tensor]:
    """[2l + 1, 2l + 1] of every band l from 1: what the coefficients of harmonics are multiplied by
    when what they describe is turned.

    A turned function has at d the value that it had at Q^T d. The harmonics of a band turn into
    each other, so that their values in more directions than there are of them give the matrix, to
    rounding.
    """
    directions = _even_directions(_DIRECTIONS)
    turned = similarity.sign * directions @ similarity.rotation  # Q^T d, in rows
    here, there = (sh_basis(each, degree) for each in (directions, turned))
    bands = [slice(band * band, (band + 1) * (band + 1)) for band in range(1, degree + 1)]
    return [torch.linalg.lstsq(here[:, band], there[:, band]).solution for band in bands]


def _even_directions(count: int) -> Tensor:
    """[count, 3] unit vectors, on a spiral around the sphere."""
    place = torch.arange(count, dtype=torch.float64, device="cpu") + 0.5
    z = 1 - 2 * place / count
    turn = place * 2.399963229728653  # the golden angle
    flat = (1 - z * z).sqrt()
    return torch.stack([flat * turn.cos(), flat * turn.sin(), z], dim=1)


def _numbers(values: Tensor) -> str:
    return " ".join(f"{value:.6g}" for value in values.tolist())

"""Moved splats look from the moved camera as they did: centres, sizes, harmonics and waves."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import synthetic
import torch
from synthetic import real
from tolerances import EXACT, assert_frames_close
from torch import Tensor

from gaborsplat.renderer.editing.moving import Similarity, transformed, transformed_camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.reference import render_reference
from gaborsplat.renderer.rotations import to_matrices
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats

SETTINGS = RenderSettings(background=(0.1, 0.2, 0.3), antialiased=True)
MIRROR = torch.diag(real(-1.0, 1.0, 1.0, 1.0))


def similarity(scale: float = 1.0, seed: int = 0, *, mirror: bool = False) -> Tensor:
    """[4, 4] a random rotation, an even scale and a translation, before them a mirror if wanted."""
    generator = torch.Generator().manual_seed(seed)
    quaternion = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = scale * to_matrices(quaternion)[0]
    matrix[:3, 3] = 3 * torch.randn(3, generator=generator, dtype=torch.float64)
    return matrix @ MIRROR if mirror else matrix


def scene(waves: int) -> Splats:
    return synthetic.cloud(40, waves, degree=3)


@pytest.mark.parametrize("scale", [1.0, 0.01, 250.0])
def test_the_moved_camera_sees_of_the_moved_scene_what_it_saw(scale: float, waves: int):
    camera, matrix = synthetic.camera(), similarity(scale, seed=waves)
    after = transformed_camera(camera, Similarity.of(matrix))
    expected = render(scene(waves), camera, SETTINGS)
    expected = replace(expected, depth=scale * expected.depth)
    moved = transformed(scene(waves), matrix)
    assert_frames_close(render(moved, after, SETTINGS.scaled(scale)), expected, EXACT)


def test_the_oracle_sees_no_difference_either():
    camera, matrix = synthetic.camera(), similarity(2.0)
    after = transformed_camera(camera, Similarity.of(matrix))
    found = render_reference(transformed(scene(2), matrix), after, SETTINGS.scaled(2.0))
    expected = render_reference(scene(2), camera, SETTINGS)
    assert_frames_close(replace(found, depth=found.depth / 2.0), expected, EXACT)


def test_a_mirrored_scene_gives_mirrored_pictures(waves: int):
    camera, matrix = synthetic.camera(), similarity(1.5, seed=3, mirror=True)
    after = transformed_camera(camera, Similarity.of(matrix))
    assert float(torch.linalg.det(after.world_to_camera)) == pytest.approx(1.0)
    found = render(transformed(scene(waves), matrix), after, SETTINGS.scaled(1.5))
    expected = render(scene(waves), camera, SETTINGS)
    assert (found.color.flip(1) - expected.color).abs().max() < EXACT.atol
    assert (found.color - expected.color).abs().max() > 0.1


def test_moving_there_and_back_changes_nothing():
    matrix = similarity(3.0, mirror=True)
    back = transformed(transformed(scene(2), matrix), matrix.inverse())
    for name, values in scene(2).tensors().items():
        found = getattr(back, name)
        if name == "quats":  # a rotation has two of them
            values, found = to_matrices(values), to_matrices(found)
        assert torch.allclose(found, values, rtol=0, atol=1e-12), name


def test_single_precision_and_type_are_kept():
    moved = transformed(scene(1).to(torch.float32), similarity(1.0).tolist())
    assert {tensor.dtype for tensor in moved.tensors().values()} == {torch.float32}
    exact = transformed(scene(1), similarity(1.0))
    assert torch.allclose(moved.sh.double(), exact.sh, rtol=0, atol=1e-6)


def test_no_splats_at_all_can_be_moved():
    none = scene(1).select(torch.zeros(40, dtype=torch.bool))
    assert len(transformed(none, similarity())) == 0


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda m: m @ torch.diag(real(1.0, 1.0, 1.1, 1.0)), "stretches three directions"),
        (lambda m: m + torch.diag(real(0.3, 1.0), 2), "stretches three directions"),
        (lambda m: m @ torch.diag(real(0.0, 0.0, 0.0, 1.0)), "flattens"),
        (lambda m: m * math.nan, "finite"),
        (lambda m: m + torch.diag(real(0.1), -3), "last row must be 0 0 0 1"),
        (lambda m: m[:3], "4x4"),
    ],
)
def test_what_is_no_similarity_is_refused(change, fact: str):
    with pytest.raises(ValueError, match=fact) as told:
        transformed(scene(1), change(similarity()))
    assert "\n" not in str(told.value)

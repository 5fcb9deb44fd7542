"""Splats in other axes are the same splats."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest
import synthetic
import torch

from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes.splats.axes import turned, turned_axis
from gaborsplat.scenes.splats.metadata import Frame, axis_vector
from gaborsplat.scenes.splats.raw_splats import activate, deactivate

FRAMES: tuple[Frame, ...] = get_args(Frame)


def in_frame(splats: Splats, old: Frame, new: Frame) -> Splats:
    """Splats with their numbers in other axes."""
    return activate(turned(deactivate(splats, Path("a")), old, new), "a")


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("waves", [0, 2])
def test_a_camera_that_is_turned_along_sees_the_same(frame: Frame, waves: int):
    splats = synthetic.cloud(60, waves, dtype=torch.float32)
    camera = synthetic.camera(dtype=torch.float32)
    signs = torch.tensor([1.0 if a == b else -1.0 for a, b in zip("RDF", frame, strict=True)])
    pose = camera.world_to_camera @ torch.diag(torch.cat([signs, torch.ones(1)]))
    mirrored = bool(signs.prod() < 0)
    intrinsics = camera.intrinsics.clone()
    if mirrored:  # no camera is: one whose picture is the other way round
        pose = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])) @ pose
        intrinsics[0, 2] = camera.size[0] - intrinsics[0, 2]
    other = dataclasses.replace(camera, world_to_camera=pose, intrinsics=intrinsics)
    found = render(in_frame(splats, "RDF", frame), other).color
    wanted = render(splats, camera).color
    torch.testing.assert_close(found.flip(1) if mirrored else found, wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("frame", FRAMES)
def test_the_way_back_gives_the_same_numbers(frame: Frame):
    splats = in_frame(synthetic.cloud(20, 2, dtype=torch.float32), "RDF", "RDF")
    there = in_frame(splats, "RDF", frame)
    back = in_frame(there, frame, "RDF")
    for name, tensor in splats.tensors().items():
        torch.testing.assert_close(back.tensors()[name], tensor)


@pytest.mark.parametrize("frame", FRAMES)
def test_an_axis_turns_as_a_point_does(frame: Frame):
    splats = synthetic.cloud(1, dtype=torch.float32)
    for axis in ("x", "y", "z", "-x", "-y", "-z"):
        point = torch.tensor([axis_vector(axis)])
        moved = in_frame(dataclasses.replace(splats, means=point), "RDF", frame).means[0]
        assert moved.tolist() == list(axis_vector(turned_axis(axis, "RDF", frame)))

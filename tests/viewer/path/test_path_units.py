"""Paths through a scene that is shown in another unit than its capture's."""

from __future__ import annotations

from gaborsplat.viewer.path.file import Placement, path_from_json, path_to_json
from gaborsplat.viewer.path.path import CameraPath, Keyframe

UNIT = (1.0, 0.0, 0.0, 0.0)
CANVAS = (64, 48)
ORIGIN = (100.0, -20.0, 3.0)


def test_a_path_through_a_scene_in_another_unit_is_saved_in_that_of_the_capture() -> None:
    path = CameraPath((Keyframe(UNIT, (1, 2, 3), 0.8), Keyframe(UNIT, (2, 2, 3), 0.8)))
    text = path_to_json(path, CANVAS, Placement(ORIGIN, unit=0.25))
    keyframes = path_from_json(text, Placement(ORIGIN)).keyframes
    assert [each.position for each in keyframes] == [(0.25, 0.5, 0.75), (0.5, 0.5, 0.75)]
    back = path_from_json(text, Placement(ORIGIN, unit=0.25)).keyframes
    assert [each.position for each in back] == [(1, 2, 3), (2, 2, 3)]

"""How large the pictures of a moving camera are."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from gaborsplat.viewer.pacing.resolution import (
    LADDER,
    MIN_LONGEST_SIDE,
    MIN_SIDE,
    Measured,
    Resolution,
    picture_size,
)

CANVAS = (1200, 900)
MAX_SIDE = 1280
Cost = Callable[[int], float]


def measured(level: int, seconds: float) -> Measured:
    return Measured(CANVAS, MAX_SIDE, level, seconds)


def linear(full: float, fixed: float = 0.0) -> Cost:
    """Seconds at a level of a picture that takes `full` + `fixed` at full size."""

    def cost(level: int) -> float:
        width, height = picture_size(CANVAS, MAX_SIDE, level)
        return fixed + full * width * height / (CANVAS[0] * CANVAS[1])

    return cost


def drag(resolution: Resolution, cost: Cost, pictures: int) -> list[int]:
    """Levels of so many pictures of a moving camera."""
    levels: list[int] = []
    for _ in range(pictures):
        levels.append(resolution.level)
        resolution.moving(measured(resolution.level, cost(resolution.level)))
    return levels


@pytest.mark.parametrize("full", [0.01, 0.02, 0.05, 0.2])
def test_resolution_drops_until_a_picture_fits_its_budget(full: float) -> None:
    cost = linear(full)
    level = drag(Resolution(), cost, 20)[-1]
    assert cost(level) <= LADDER[level].budget
    assert level == 0 or cost(level - 1) > LADDER[level - 1].budget


def test_a_sharp_picture_already_tells_how_coarse_a_moving_one_must_be() -> None:
    resolution = Resolution()
    resolution.resting(measured(0, 0.2))
    cost = linear(0.2)
    assert cost(resolution.level) <= LADDER[resolution.level].budget


def test_a_sharp_picture_never_makes_the_next_ones_finer() -> None:
    resolution = Resolution()
    resolution.resting(measured(0, 0.2))
    level = resolution.level
    resolution.resting(measured(0, 0.001))
    assert resolution.level == level


def test_resolution_stops_at_the_end_of_the_ladder() -> None:
    levels = drag(Resolution(), linear(50.0), 3 * Resolution.MEMORY)
    assert levels[40] == levels[-1] == len(LADDER) - 1


def test_a_cheap_scene_keeps_full_resolution() -> None:
    assert set(drag(Resolution(), linear(0.01), 50)) == {0}


def test_one_slow_picture_a_little_over_the_budget_changes_nothing() -> None:
    resolution = Resolution()
    drag(resolution, linear(0.01), 10)
    drag(resolution, linear(1.3 / 60), 1)
    assert set(drag(resolution, linear(0.01), 20)) == {0}


def test_resolution_recovers_one_level_at_a_time_when_the_scene_gets_cheaper() -> None:
    resolution = Resolution()
    low = drag(resolution, linear(0.5), 20)[-1]
    levels = drag(resolution, linear(0.005), 80)
    assert levels[0] == low
    assert levels[-1] == 0
    assert all(a - b in (0, 1) for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize("full", [0.01, 0.016, 0.017, 0.03, 0.05, 0.06, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("fixed", [0.0, 0.005, 0.012, 0.02, 0.03, 0.1])
def test_resolution_does_not_swing_between_levels(full: float, fixed: float) -> None:
    resolution = Resolution()
    cost = linear(full, fixed)
    drag(resolution, cost, 60)
    assert len(set(drag(resolution, cost, 200))) == 1


@pytest.mark.parametrize("fixed", [0.02, 0.04, 0.3])
def test_where_coarser_pictures_take_as_long_they_stay_fine(fixed: float) -> None:
    resolution = Resolution()
    assert drag(resolution, linear(0.001, fixed), 100)[-1] == 0


def test_coarser_pictures_are_tried_again_after_a_while() -> None:
    resolution = Resolution()
    drag(resolution, linear(0.001, 0.03), 100)
    cost = linear(0.03)
    level = drag(resolution, cost, Resolution.MEMORY + 50)[-1]
    assert cost(level) <= LADDER[level].budget


def test_pictures_from_before_a_change_of_level_do_not_count() -> None:
    resolution = Resolution()
    drag(resolution, linear(0.2), 20)
    level = resolution.level
    for _ in range(50):
        resolution.moving(measured(0, 5.0))
    assert resolution.level == level


def test_coarser_pictures_are_compressed_no_less() -> None:
    qualities = [level.quality for level in LADDER]
    assert qualities == sorted(qualities, reverse=True)


def test_a_picture_has_the_shape_of_the_canvas_within_the_chosen_size() -> None:
    half = [level.scale for level in LADDER].index(0.5)
    assert picture_size((1920, 1080), 1280, 0) == (1280, 720)
    assert picture_size((1080, 1920), 1280, half) == (360, 640)
    assert picture_size((640, 480), 1280, 0) == (640, 480)


def test_a_picture_stays_large_enough_to_see_something() -> None:
    last = len(LADDER) - 1
    assert picture_size((800, 400), 1280, last) == (MIN_LONGEST_SIDE, MIN_LONGEST_SIDE // 2)
    assert picture_size((200, 100), 1280, last) == (200, 100)


@pytest.mark.parametrize("canvas", [(1, 1), (1, 100_000), (100_000, 1), (10**9, 10**9)])
def test_no_canvas_makes_a_picture_too_large_or_empty(canvas: tuple[int, int]) -> None:
    for level in range(len(LADDER)):
        size = picture_size(canvas, 1280, level)
        assert min(size) >= MIN_SIDE
        assert max(size) <= 1280

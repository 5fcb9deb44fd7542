"""Of too many points, an even subset."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from gaborsplat.renderer.training import TrainConfig
from gaborsplat.renderer.training.density.initial import initial_parameters
from gaborsplat.renderer.training.density.thinning import thinned
from gaborsplat.scenes import demo_path, load_capture


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def scanned(count: int) -> torch.Tensor:
    """Points on a disc as a scanner in its middle sees them: nine tenths in a hundredth of it."""
    random = np.random.default_rng(0)
    radius = np.where(random.random(count) < 0.9, 1.0, 10.0) * np.sqrt(random.random(count))
    angle = random.random(count) * 2 * np.pi
    flat = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(count)], axis=1)
    return torch.from_numpy(flat.astype(np.float32))


def test_dense_places_keep_no_more_than_others():
    points = scanned(200_000)
    kept = points[thinned(points, 3000, generator())]
    assert len(kept) == 3000
    share = float((kept.norm(dim=1) < 1).float().mean())
    assert share < 0.03  # a hundredth of the area, nine tenths of the points
    covered = cKDTree(kept.numpy()).query(points.numpy())[0]
    cell = (np.pi * 100 / len(kept)) ** 0.5
    assert covered.max() < 2 * cell


def test_few_points_are_all_kept_in_order():
    assert thinned(scanned(100), 100, generator()).tolist() == list(range(100))


def test_points_near_infinity_leave_the_rest_even():
    points = scanned(50_000)
    points[::1000] *= 1e30
    kept = thinned(points, 2000, generator())
    assert len(kept.unique()) == 2000
    assert float((points[kept].norm(dim=1) < 1).float().mean()) < 0.05


@pytest.mark.parametrize("where", [0.0, 1e6])
def test_points_in_one_place_are_thinned_too(where: float):
    assert len(thinned(torch.full((500, 3), where), 100, generator()).unique()) == 100


def test_a_million_points_take_seconds():
    points = torch.randn(1_000_000, 3)
    start = time.process_time()
    assert len(thinned(points, 30_000, generator())) == 30_000
    assert time.process_time() - start < 20


def test_a_fit_that_starts_from_fewer_points_says_so(caplog: pytest.LogCaptureFixture):
    capture = load_capture(demo_path(), max_size=60)
    with caplog.at_level(logging.WARNING):
        raw = initial_parameters(capture, TrainConfig(max_splats=2000), generator())
    assert len(raw["means"]) == 2000
    (line,) = caplog.messages
    assert "from 2,000 of 11,384 points, spread evenly" in line

"""What the tests of surroundings share."""

from __future__ import annotations

import pytest
from public import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once: what comes of its uses is compared again and again."""
    return World(tmp_path_factory.mktemp("world"))

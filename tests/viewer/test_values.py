"""Values of the panel, which may be anything."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gaborsplat.viewer.values import is_number, is_vector, number, whole

NO_NUMBERS: list[Any] = [math.nan, None, "1", "", (), [1.0], {"a": 1}, b"1"]


@pytest.mark.parametrize(
    ("value", "cut"),
    [(3, 3.0), (2.5, 2.5), (-7, 1.0), (99, 9.0), (math.inf, 9.0), (-math.inf, 1.0), (10**400, 9.0)],
    ids=lambda value: f"{value:.4g}" if isinstance(value, float) else str(value)[:9],
)
def test_numbers_are_cut_to_what_is_allowed(value: Any, cut: float) -> None:
    assert number(value, 1.0, 9.0) == cut
    assert whole(value, 1, 9) == int(cut)


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_becomes_another(value: Any) -> None:
    assert number(value, 1.0, 9.0) == 1.0
    assert number(value, 1.0, 9.0, 4.5) == 4.5
    assert whole(value, 1, 9, 4) == 4
    assert not is_number(value, -9.0, 9.0)
    assert not is_vector(value, 2)
    assert not is_vector((1.0, value), 2)


def test_vectors_have_a_length() -> None:
    assert is_vector([3, 4.0], 2, 5.0, 5.0)
    assert not is_vector([3, 4.0], 2, 5.1)
    assert not is_vector([3, 4.0], 2, longest=4.9)
    assert not is_vector([3, 4.0], 3)
    assert not is_vector((1.7e308, 1.7e308), 2)  # whose length is not finite
    assert not is_vector((1.0, math.inf), 2)
    assert not is_vector((1.0, 10**400), 2)

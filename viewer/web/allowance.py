"""How often something may be done."""

from __future__ import annotations


class Allowance:
    """A number that is used up, and grows again with time.

    Attributes:
        left: what is left, as of the last look; it may be used beyond zero.
    """

    def __init__(self, most: float, rate: float, now: float) -> None:
        """`rate` is how fast it grows [1/s], up to `most`; `now` is the time [s]."""
        self._most, self._rate, self._then = most, rate, now
        self.left = most

    def at(self, now: float) -> float:
        """What is left at a time [s]."""
        self.left = min(self._most, self.left + (now - self._then) * self._rate)
        self._then = now
        return self.left

    @property
    def debt(self) -> float:
        """Seconds until it is no longer below zero."""
        return max(0.0, -self.left / self._rate)

"""How large, and how much compressed, the pictures of a moving camera are: pure logic."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Level:
    """One step of the ladder."""

    scale: float
    """Picture size relative to the full one."""
    quality: int
    """JPEG quality."""
    budget: float
    """Seconds that no stage of a picture may take longer than."""


LADDER: tuple[Level, ...] = (
    Level(1.0, 75, 1 / 60),
    Level(0.75, 70, 1 / 60),
    Level(0.5, 70, 1 / 60),
    # Below half the resolution 30 sharper pictures a second are better than 60 coarse ones.
    Level(0.375, 65, 1 / 30),
    Level(0.25, 60, 1 / 30),
    Level(0.1875, 55, 1 / 30),
    Level(0.125, 50, 1 / 30),
)

SHARP_QUALITY = 92
"""JPEG quality while the camera rests."""

MIN_LONGEST_SIDE = 256
"""A coarser picture than this [px] of a moving camera helps nobody, however slow rendering is."""

MIN_SIDE = 16
"""Pictures are never narrower or lower than this [px], however thin the canvas."""

Size = tuple[int, int]
"""(width, height) [px]."""


def picture_size(canvas: Size, max_side: int, level: int) -> Size:
    """Size of a picture with the shape of `canvas` at a level of LADDER.

    At level 0 its longest side is the canvas's, cut to `max_side` [px]; at the others it shrinks
    from there down to MIN_LONGEST_SIDE.
    """
    full = min(max(canvas), max_side)
    longest = max(full * LADDER[level].scale, min(full, MIN_LONGEST_SIDE))
    width, height = (max(MIN_SIDE, round(side * longest / max(canvas))) for side in canvas)
    return width, height


@dataclass(frozen=True)
class Measured:
    """What a picture's slowest stage took."""

    canvas: Size
    max_side: int
    level: int
    seconds: float

    def at(self, level: int) -> float:
        """Predicted seconds at another level, as if they grew with the pixels."""
        width, height = picture_size(self.canvas, self.max_side, level)
        own_width, own_height = picture_size(self.canvas, self.max_side, self.level)
        return self.seconds * (width * height) / (own_width * own_height)


class Resolution:
    """The level for a moving camera, from measured times.

    A picture's time has a fixed part and one that grows with its pixels, so scaling a measured
    time by the number of pixels overestimates a larger picture. Going finer only when even this
    is well inside the budget, the level never swings between two neighbours. Where a coarser
    picture turns out to take as long, what is slow is not the pixels, and it goes back.
    """

    SLACK = 0.7  # of the budget that a finer level's predicted time must stay below
    GAIN = 0.8  # of a finer picture's time that a coarser one must stay below to be worth it
    PICTURES = 4  # at a level before it is judged; one suffices beyond three times the budget
    SETTLING = 3  # pictures after a change that may have waited behind larger ones
    MEMORY = 300  # pictures after which coarser levels are tried again

    def __init__(self) -> None:
        self.level = 0
        self._came_from: int | None = None
        self._pictures = 0
        self._settling = 0
        self._usual = 0.0
        self._usual_there: dict[int, float] = {}

    def moving(self, measured: Measured) -> None:
        """Take in what a picture of a moving camera took."""
        if measured.level != self.level:
            return  # rendered before the level changed
        if self._settling > 0:
            self._settling -= 1
            return
        self._pictures += 1
        if self._pictures == self.MEMORY:
            self._usual_there.clear()
            self._came_from = None
        # The median would be better and slower; one stray picture counts for a third.
        weight = 1 / min(self._pictures, 3)
        self._usual += weight * (measured.seconds - self._usual)
        far_too_slow = measured.seconds > 3 * LADDER[self.level].budget
        if self._pictures >= self.PICTURES or (far_too_slow and self._came_from is None):
            self._judge(replace(measured, seconds=self._usual))

    def resting(self, measured: Measured) -> None:
        """Take in what rendering a sharp picture took: a moving one need not find out."""
        self._coarsen(measured)

    def _judge(self, usual: Measured) -> None:
        came_from, finer = self._came_from, max(0, self.level - 1)
        if came_from is not None and usual.seconds > self.GAIN * self._usual_there[came_from]:
            self._go_to(came_from)
        elif usual.seconds > LADDER[self.level].budget:
            self._coarsen(usual)
        elif finer < self.level and _fits(usual, finer, self.SLACK):
            self._go_to(finer)
        else:
            self._came_from = None

    def _coarsen(self, measured: Measured) -> None:
        """Go to the finest level whose predicted time fits, unless it is known to gain nothing."""
        fitting = measured.level
        while fitting < len(LADDER) - 1 and not _fits(measured, fitting):
            fitting += 1
        known = self._usual_there.get(fitting, 0.0)
        if fitting > self.level and known <= self.GAIN * measured.seconds:
            before = self.level
            self._go_to(fitting)
            self._came_from = before if before in self._usual_there else None

    def _go_to(self, level: int) -> None:
        if self._pictures:
            self._usual_there[self.level] = self._usual
        self.level = level
        self._came_from = None
        self._pictures = 0
        self._settling = self.SETTLING
        self._usual = 0.0


def _fits(measured: Measured, level: int, slack: float = 1.0) -> bool:
    return measured.at(level) <= slack * LADDER[level].budget

"""Adaptive resolution and compression of the pictures of a moving camera."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Level:
    """A resolution level.

    Attributes:
        scale: side of a picture, relative to full size.
        quality: JPEG quality.
        budget: longest time that any stage of a picture may take [s].
    """

    scale: float
    quality: int
    budget: float


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
"""Longest side that a moving camera's picture has at least [px], however slow rendering is."""

MIN_SIDE = 16
"""Smallest width and height of a picture [px], however thin the canvas."""

Size = tuple[int, int]
"""(width, height) [px]."""


def picture_size(canvas: Size, max_side: int, level: int) -> Size:
    """Size of a picture with the aspect of `canvas` at a level of LADDER.

    At level 0 the longest side is the canvas's, cut to `max_side` [px]; at the others it shrinks
    from there down to MIN_LONGEST_SIDE.
    """
    full = min(max(canvas), max_side)
    longest = max(full * LADDER[level].scale, min(full, MIN_LONGEST_SIDE))
    width, height = (max(MIN_SIDE, round(side * longest / max(canvas))) for side in canvas)
    return width, height


@dataclass(frozen=True)
class Measured:
    """Measured time of a picture's slowest stage.

    Attributes:
        canvas: size of the page's canvas.
        max_side: longest side that the panel allows [px].
        level: resolution level of the picture, an index into LADDER.
        seconds: time of the stage [s].
    """

    canvas: Size
    max_side: int
    level: int
    seconds: float

    def at(self, level: int) -> float:
        """Predicted seconds at another level, in proportion to the pixels."""
        width, height = picture_size(self.canvas, self.max_side, level)
        own_width, own_height = picture_size(self.canvas, self.max_side, self.level)
        return self.seconds * (width * height) / (own_width * own_height)


class Resolution:
    """Controller of a moving camera's resolution level, from measured times.

    A picture's time has a fixed part and one that grows with its pixels, so scaling a measured
    time by the number of pixels overestimates a larger picture. The level goes finer only when
    even this estimate is well inside the budget, so it never swings between two neighbours. Where
    a coarser picture turns out to take as long, the pixels are not what is slow, and the level
    goes back.

    Attributes:
        SLACK: share of the budget that a finer level's predicted time must stay below.
        GAIN: share of a finer picture's time that a coarser one must stay below to be worth it.
        PICTURES: pictures at a level before it is judged; one if beyond three times the budget.
        SETTLING: pictures ignored after a change, since they may have waited behind larger ones.
        MEMORY: pictures at a level after which coarser ones are tried again.
        level: the present level, an index into LADDER.
    """

    SLACK = 0.7
    GAIN = 0.8
    PICTURES = 4
    SETTLING = 3
    MEMORY = 300

    def __init__(self) -> None:
        self.level = 0
        self._came_from: int | None = None
        self._pictures = 0
        self._settling = 0
        self._usual = 0.0
        self._usual_there: dict[int, float] = {}

    def moving(self, measured: Measured) -> None:
        """Update the level by the time of a moving camera's picture."""
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
        """Update the level by the rendering time of a sharp picture, before the camera moves."""
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

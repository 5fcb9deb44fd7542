"""How long a step takes on this machine, from a few steps of different sizes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor

from ..._native import constants
from ...cameras import Camera
from ..config import TrainConfig
from ..data import FitInput, TrainingView
from ..schedule import Schedule
from ..trainer import Trainer

VIEWS = 2
"""Photos that the trial looks at."""
POINTS = 2000
"""Points that its splats are made from: placing them takes time too."""
STEPS = 3
"""Steps at each view, of which the first is not counted: it allocates, and starts threads."""
SPLATS = {"cpu": (5_000, 30_000), "cuda": (100_000, 1_000_000)}
"""Few and many splats, by type of device."""
SIDES = {"cpu": (400, 800), "cuda": (800, 1600)}
"""Longest sides of small and large photos [px]."""
OVERLAP = 100.0
"""Splats that reach a pixel, on the mean: 65 to 120 of 30 000 in captures that were trained to the
end, 290 of 116 000, which hide each other; of a million it is not known. A fit begins with 20."""
OPACITY = 0.1
"""Of most splats at the end; it is 0.04 to 0.16."""
ROUNDS = 10
"""Times that sizes are fitted to `OVERLAP`: those of small splats have a bound on the picture."""
LEAST_SHARE = 0.25
"""Of the time of a step with many splats, what is theirs at least."""
LATE = 801
"""The step of a run of 1000 that is timed."""
SAMPLES = 200
"""Moments of a run at which its splats are counted."""


@dataclass(frozen=True)
class StepTime:
    """A step takes a + b * splats + c * pixels, none of them negative.

    Attributes:
        fixed: a [s].
        per_splat: b [s].
        per_pixel: c [s].
        decode: time to decode a photo that is not in memory [s].
    """

    fixed: float
    per_splat: float
    per_pixel: float
    decode: float

    def of(self, splats: float, pixels: float) -> float:
        """Time of one step with a photo in memory [s]."""
        return self.fixed + self.per_splat * splats + self.per_pixel * pixels

    def of_run(
        self, config: TrainConfig, points: int, sizes: Sequence[tuple[int, int]], kept: int
    ) -> float:
        """Time of all steps of a run by 3DGS-MCMC [s], without what it is looked at in between.

        Args:
            config: settings of the run.
            points: splats that it begins with.
            sizes: (width, height) of the photos [px].
            kept: bytes of photos that stay in memory; all others are decoded at every step.
        """
        schedule, initial = Schedule.of(config), min(points, config.max_splats)
        moments = range(0, config.steps, max(1, config.steps // SAMPLES))
        splats = mean(schedule.splats(step, initial, config.max_splats) for step in moments)
        pixels = mean(width * height for width, height in sizes)
        missed = max(0.0, 1 - kept / (3 * pixels * len(sizes)))
        return config.steps * (self.of(splats, pixels) + missed * self.decode)


@torch.inference_mode(False)  # what is made here is trained
def time_steps(
    data: FitInput,
    config: TrainConfig,
    device: torch.device,
    most: int | None = None,
    *,
    small: bool = False,
) -> StepTime:
    """What steps take on `device`, found by some with few and with many splats, on small and large
    photos. At most `most` splats are tried, of which there must be some. A `small` trial has a
    quarter of the points, the splats and the pixels, and photos no larger than they are.

    The splats are copies of some that a fit begins with, as faint and as many to a pixel as late in
    a run; harmonics and waves are on, as in most of it.
    """
    views = data.train[:: max(1, len(data.train) // VIEWS)][:VIEWS]
    began = time.perf_counter()
    photos = [(view.image(), view.mask()) for view in views]
    decode = (time.perf_counter() - began) / len(views)
    wanted = (count // 4 if small else count for count in SPLATS[device.type])
    few, many = (count if most is None else min(count, most) for count in wanted)
    narrow, wide = SIDES[device.type]
    if small:
        wide = min(wide // 2, max(max(view.camera.size) for view in views))
        narrow = -(-wide // 2)

    def measured(splats: int, side: int) -> tuple[float, float]:
        """Time of a step [s], and the pixels that it had."""
        shown = [_Resized.of(view, *photo, side) for view, photo in zip(views, photos, strict=True)]
        trial = _Trial(shown, *_some_points(data, min(splats, POINTS // 4 if small else POINTS)))
        seconds = _time_of_step(trial, replace(config, max_splats=splats), device)
        return seconds, mean(view.camera.size[0] * view.camera.size[1] for view in shown)

    (first, pixels), (more, _) = measured(few, narrow), measured(many, narrow)
    larger, more_pixels = measured(few, wide)
    # Other programs may have made the first of them slow.
    per_splat = max(LEAST_SHARE * more / many, (more - first) / max(1, many - few))
    per_pixel = max(0.0, larger - first) / max(1.0, more_pixels - pixels)
    fixed = max(0.0, first - per_splat * few - per_pixel * pixels)
    return StepTime(fixed, per_splat, per_pixel, decode)


@dataclass(frozen=True)
class _Resized:
    """A view at another size. What its photo shows hardly matters to a step's time."""

    name: str
    camera: Camera
    pixels: Tensor
    valid: Tensor | None

    @classmethod
    def of(cls, view: TrainingView, photo: Tensor, mask: Tensor | None, side: int) -> _Resized:
        """`view` with `side` pixels on its longest side."""
        width, height = view.camera.size
        scale = side / max(width, height)
        size = max(1, round(scale * width)), max(1, round(scale * height))
        columns, rows = (
            torch.arange(new, device="cpu") * old // new
            for new, old in zip(size, (width, height), strict=True)
        )
        valid = None if mask is None else mask[rows][:, columns]
        return cls(view.name, view.camera.resized(size), photo[rows][:, columns], valid)

    def image(self) -> Tensor:
        """[H, W, 3] uint8 RGB."""
        return self.pixels

    def mask(self) -> Tensor | None:
        """[H, W] bool, or None."""
        return self.valid


@dataclass(frozen=True)
class _Trial:
    """What is fitted in a trial."""

    train: Sequence[TrainingView]
    points: Tensor
    point_colors: Tensor
    test: Sequence[TrainingView] = ()


def _some_points(data: FitInput, count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(data.points), generator=generator, device=generator.device)
    chosen = order[:count]
    return data.points[chosen], data.point_colors[chosen]


def _time_of_step(data: FitInput, config: TrainConfig, device: torch.device) -> float:
    """Median time of a step [s] with `config.max_splats` splats."""
    # Late in a run: nothing is added or removed any more.
    config = replace(config, steps=1000, wave_birth="random", strategy="mcmc")
    # By steps, and all with the same harmonics, whatever a few small photos would ask for.
    config = replace(config, time=None, expected_steps=None, sh_degree=config.degree)
    if config.refine_poses == "auto":  # as if cameras were right, which these splats cannot tell
        config = replace(config, refine_poses="off")
    trainer = Trainer(data, config, device)
    state = trainer.state_dict()
    state["progress"]["steps_done"] = LATE
    multiply_splats(state, config.max_splats)
    make_overlap(state["raw"], [view.camera.to("cpu") for view in data.train])  # where states are
    trainer.load_state_dict(state)
    times: list[float] = []
    for _ in range(len(data.train) * STEPS):
        before = trainer.seconds
        trainer.step()
        times.append(trainer.seconds - before)
    return median(times[len(data.train) :])


def make_overlap(raw: dict[str, Tensor], cameras: Sequence[Camera]) -> None:
    """Give splats, by a trainer's parameters, one opacity and such sizes that about `OVERLAP` of
    them reach each pixel of what cameras see."""
    raw["opacities"].fill_(math.log(OPACITY / (1 - OPACITY)))
    # Of an ellipse [standard deviations^2]: outside it a splat adds nothing.
    area = 2 * math.pi * math.log(OPACITY / constants.ALPHA_MIN)
    for _ in range(ROUNDS):
        sizes = raw["scales"].exp().sort(dim=1).values[:, 1:]
        found: list[float] = []
        for camera in cameras:
            (width, height), focal = camera.size, camera.intrinsics.diagonal()[:2]
            points = raw["means"] @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
            depths = points[:, 2:].clamp(min=1e-9)
            pixels = focal * points[:, :2] / depths + camera.intrinsics[:2, 2]
            within = (pixels > 0) & (pixels < pixels.new_tensor(camera.size))
            seen = within.all(dim=1) & (points[:, 2] > 0)
            areas = ((focal * sizes / depths).square() + constants.EPS2D).sqrt().prod(dim=1)
            share = (area * areas[seen] / (width * height)).clamp(max=1)
            found.append(float(share.sum()))
        if not mean(found) > 0:
            return  # of none of them is anything seen
        raw["scales"] += 0.5 * math.log(OVERLAP / mean(found))


def multiply_splats(state: dict[str, Any], count: int) -> None:
    """Make `count` splats of a trainer's, so small that they cover what those did."""
    old = len(state["raw"]["means"])
    rows = torch.arange(count, device="cpu") % old
    raw = {name: tensor[rows] for name, tensor in state["raw"].items()}
    generator = torch.Generator().manual_seed(0)
    raw["means"] += (
        torch.randn(count, 3, generator=generator, dtype=torch.float32, device=generator.device)
        * raw["scales"].exp()
    )
    # Scenes are surfaces: areas share them.
    raw["scales"] += 0.5 * math.log(old / count)
    state["raw"] = raw
    state["moments"] = {
        name: {key: moment[rows] for key, moment in moments.items()}
        for name, moments in state["moments"].items()
    }

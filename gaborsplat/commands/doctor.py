"""`gaborsplat doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import torch
import tyro
from rich.progress import track

from ..console import console, decimal_bytes, error_console
from ..devices import machine, pick_device, versions
from ..progress import load_shown
from ..renderer.devices import Device
from ..renderer.training import (
    BY_PRESET,
    DRAFT_SIZE,
    PRESETS,
    Default,
    PresetName,
    StepTime,
    TrainConfig,
    free_memory,
    longest_side,
    memory_of_run,
    most_splats,
    photos_kept,
    preset_taken,
    time_steps,
    with_degree,
)
from ..scenes import (
    Capture,
    InputError,
    MaskMode,
    check_photos,
    doubts,
    fit_within,
    one_line,
    printable,
)

T = TypeVar("T")
HEADINGS = ("preset", "steps", "splats", "longest side", "time", "memory", "fits")
ROW = "{:>10}  {:>7}  {:>10}  {:>12}  {:>11}  {:>9}  {}"


@dataclass(frozen=True)
class DoctorCommand:
    """Say what this machine can do, what is wrong with a capture, and what a run of each preset
    takes, before any training. The exit status is 1 if the capture cannot be trained on."""

    scene: tyro.conf.Positional[Path | None] = None
    """Folder of a capture."""
    max_size: Annotated[int | None, BY_PRESET] = DRAFT_SIZE
    """As for train."""
    images: str | None = None
    """As for train."""
    sfm: bool = False
    """As for train."""
    masks: str | None = None
    """As for train."""
    mask_mode: MaskMode = "auto"
    """As for train."""
    device: Device = "auto"
    """As for train."""
    trial: bool = True
    """Time a few steps on the capture, seconds on a laptop, to say how long a run will take."""

    def run(self) -> None:
        """Print the findings."""
        device = pick_device(self.device)
        for name, value in {**machine(), **versions()}.items():
            _line(name, value)
        _line("computes on", device)
        free = free_memory(device)
        _line("memory free there", "unknown" if free is None else decimal_bytes(free))
        if self.scene is None:
            return
        try:
            # No photo is kept before it is used: the presets' photos are these, made smaller.
            most = None if isinstance(self.max_size, Default) else self.max_size
            capture = load_shown(
                self.scene,
                max_size=most,
                images=self.images,
                sfm=self.sfm,
                masks=self.masks,
                mask_mode=self.mask_mode,
            )
            capture = check_photos(capture, _photo_by_photo)
            console.print()
            _describe(capture)
            console.print()
            self._estimate(capture, device, free)
        except InputError as error:
            console.print(f"cannot train: {one_line(error)}")
            raise SystemExit(1) from None

    def _estimate(self, capture: Capture, device: torch.device, free: int | None) -> None:
        """A table of what each preset takes here."""
        auto = preset_taken("auto", device)
        runs = {name: _Run.of(name, self.max_size, capture, device, free) for name in PRESETS}
        step, most = None, runs[auto].most_splats
        if self.trial and most != 0:
            began = time.perf_counter()
            step = time_steps(capture, runs[auto].config, device, most)
            _line("trial", f"{time.perf_counter() - began:.0f} s of steps (--no-trial skips it)")
        _line("auto takes", f"{auto}, sh_degree {runs[auto].config.degree}")
        console.print(ROW.format(*HEADINGS))
        for run in runs.values():
            console.print(ROW.format(*run.row(step)))
        _line(
            "these are estimates",
            "time of the steps alone, from the trial by a + b * splats + c * pixels a step; "
            "memory from the sizes",
        )


@dataclass(frozen=True)
class _Run:
    """What a run of one preset would be, and the most splats for which there is memory."""

    preset: PresetName
    config: TrainConfig
    longest: int
    points: int
    sizes: Sequence[tuple[int, int]]
    kept: int
    memory: int
    most_splats: int | None

    @classmethod
    def of(
        cls,
        preset: PresetName,
        max_size: int | None,
        capture: Capture,
        device: torch.device,
        free: int | None,
    ) -> _Run:
        """A run on `capture`, loaded with its largest photos."""
        side = longest_side(max_size, preset)
        sizes = [fit_within(view.camera.size, side) for view in capture.views]
        config = with_degree(TrainConfig().by_preset(preset), capture, sizes=sizes)
        return cls(
            preset=preset,
            config=config,
            longest=max(max(size) for size in sizes),
            points=len(capture.points),
            sizes=sizes,
            kept=max(photos_kept(sizes, where, free) for where in (device, torch.device("cpu"))),
            memory=memory_of_run(config, sizes, device, free),
            most_splats=None if free is None else most_splats(config, sizes, device, free),
        )

    def row(self, step: StepTime | None) -> tuple[str, ...]:
        """Its line of the table."""
        seconds = step and step.of_run(self.config, self.points, self.sizes, self.kept)
        return (
            self.preset,
            f"{self.config.steps:,}",
            f"{self.config.max_splats:,}",
            f"{self.longest} px",
            "-" if seconds is None else _duration(seconds),
            decimal_bytes(self.memory),
            self._fits(),
        )

    def _fits(self) -> str:
        if self.most_splats is None:
            return "unknown"
        if self.most_splats >= self.config.max_splats:
            return "yes"
        return f"no, {self.most_splats:,} splats would" if self.most_splats else "no"


def _photo_by_photo(outcomes: Iterable[T], total: int) -> Iterable[T]:
    """Shows how many photos are decoded."""
    return track(outcomes, "decoding photos", total, console=error_console, transient=True)


def _describe(capture: Capture) -> None:
    sizes = sorted({view.camera.size for view in capture.views})
    _line("scene", capture.name)
    _line("views", f"{len(capture.train)} to train on, {len(capture.test)} to test")
    _line("sizes", ", ".join(f"{width}x{height}" for width, height in sizes[:6]))
    _line("points", f"{len(capture.points):,}")
    for repair in capture.repairs:
        console.print(f"repaired: {printable(repair)}")
    doubtful = doubts(capture)
    for line in doubtful:
        console.print(f"doubtful: {line}")
    if not capture.repairs and not doubtful:
        console.print("nothing to repair")


def _duration(seconds: float) -> str:
    """A time as people read it."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _line(name: str, value: object) -> None:
    console.print(f"{name:>24}  {value}")

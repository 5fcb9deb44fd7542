"""`gaborsplat view`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro

from renderer.frequency import render_frequencies
from renderer.render import render
from renderer.types import Camera, Frame, RenderSettings, Splats
from scenes import Capture, CaptureView, InputError, is_antialiased, load_splats, splat_origin
from viewer import NamedCamera, Renderers, RenderFunction, SceneSource, Viewer

from .console import console, error_console
from .devices import Device, pick_device
from .run_folder import RunFolder


@dataclass(frozen=True)
class View:
    """Show a run or a splat file in the browser."""

    path: tyro.conf.Positional[Path]
    """Run folder, or splat file (.ply, .compressed.ply, .splat, .spz, .sog)."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: int = 8080
    """Port to listen on."""
    beside: Path | None = None
    """Another run or splat file, shown in the right half of the picture, always with its waves."""
    device: Device = "auto"
    """What renders."""

    def run(self) -> None:
        """Serve until Ctrl-C."""
        splats, settings = load_scene(self.path)
        device = pick_device(self.device)
        splats, beside = splats.to(device), load_beside(self.beside, self.path, device)
        views = all_views(self.path)
        with Viewer(
            SceneSource(splats),
            cameras=[NamedCamera(view.name, view.camera, view.image) for view in views],
            host=self.host,
            port=self.port,
            render=shown_with(settings, beside),
        ) as viewer:
            console.print(f"{len(splats):,} splats at {viewer.url}; Ctrl-C ends it.")
            wait_for_ctrl_c()


def wait_for_ctrl_c() -> None:
    """Until KeyboardInterrupt."""
    while True:
        time.sleep(3600)


@dataclass(frozen=True)
class Scene:
    """Splats, and how they were trained to be shown."""

    splats: Splats
    settings: RenderSettings


def shown_with(settings: RenderSettings, beside: Scene | None = None) -> Renderers:
    """Render functions for the viewer that keep to how the splats were trained; with `beside`, the
    left half shows them and the right half the others."""

    def as_trained(draw: RenderFunction) -> RenderFunction:
        def drawn(splats: Splats, camera: Camera, wanted: RenderSettings) -> Frame:
            frame = draw(splats, camera, replace(wanted, antialiased=settings.antialiased))
            if beside is None:
                return frame
            same = replace(wanted, antialiased=beside.settings.antialiased)
            return halves(frame, draw(beside.splats, camera, same))

        return drawn

    return Renderers(as_trained(render), as_trained(render_frequencies))


def halves(left: Frame, right: Frame) -> Frame:
    """The left half of one picture, and the right half of another of the same size."""
    middle = left.alpha.shape[1] // 2
    return Frame(
        *(
            torch.cat([getattr(left, name)[:, :middle], getattr(right, name)[:, middle:]], dim=1)
            for name in ("color", "alpha", "depth")
        )
    )


def all_views(path: Path) -> Sequence[CaptureView]:
    """All views of a run, as far as its capture is still there; none for a file."""
    capture = capture_of(path)
    return () if capture is None else capture.views


def capture_of(path: Path) -> Capture | None:
    """The capture of a run, if it is still there; None for a file."""
    if not is_run(path):
        return None
    try:
        return RunFolder(path).capture()
    except InputError as error:
        error_console.print(f"note: without the photos: {error}")
        return None


def is_run(path: Path) -> bool:
    """Whether `path` is a run folder, rather than a splat file or an unbundled SOG."""
    return path.is_dir() and not (path / "meta.json").is_file()


def load_scene(path: Path) -> tuple[Splats, RenderSettings]:
    """The splats of a run or a file, and how they are to be shown.

    Raises:
        InputError: `path` is neither, or is damaged.
    """
    if not is_run(path):
        splats = load_splats(path)
        stated = path.suffix.lower() == ".ply" and is_antialiased(path)
        return splats, RenderSettings(antialiased=stated)
    run = RunFolder(path)
    settings = run.render_settings()
    return run.splats(), settings


def load_beside(path: Path | None, shown: Path, device: torch.device) -> Scene | None:
    """The scene for the other half of a picture, in the frame of the one `shown`; None without a
    path. Raises as `load_scene`."""
    if path is None:
        return None
    splats, settings = load_scene(path)
    shift = [b - a for a, b in zip(origin_of(shown), origin_of(path), strict=True)]
    means = (splats.means.double() + torch.tensor(shift, dtype=torch.float64)).to(splats.means)
    return Scene(replace(splats, means=means).to(device), settings)


def origin_of(path: Path) -> tuple[float, float, float]:
    """What was subtracted from all coordinates of a run or a file."""
    source = RunFolder(path).splats_file if is_run(path) else path
    return splat_origin(source) if source.suffix.lower() == ".ply" else (0.0, 0.0, 0.0)

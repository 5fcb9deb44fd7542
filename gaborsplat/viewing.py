"""`gaborsplat view`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from renderer.render import render
from renderer.types import Camera, Frame, RenderSettings, Splats
from scenes import Capture, CaptureView, InputError, is_antialiased, load_splats, splat_origin
from viewer import NamedCamera, RenderFunction, SceneSource, Viewer

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
    device: Device = "auto"
    """What renders."""

    def run(self) -> None:
        """Serve until Ctrl-C."""
        splats, settings = load_scene(self.path)
        splats = splats.to(pick_device(self.device))
        views = training_views(self.path)
        with Viewer(
            SceneSource(splats),
            cameras=[NamedCamera(view.name, view.camera, view.image) for view in views],
            host=self.host,
            port=self.port,
            render=shown_with(settings),
        ) as viewer:
            console.print(f"{len(splats):,} splats at {viewer.url}; Ctrl-C ends it.")
            wait_for_ctrl_c()


def wait_for_ctrl_c() -> None:
    """Until KeyboardInterrupt."""
    while True:
        time.sleep(3600)


def shown_with(settings: RenderSettings) -> RenderFunction:
    """A render function for the viewer that keeps to how the splats were trained."""

    def render_as_trained(splats: Splats, camera: Camera, wanted: RenderSettings) -> Frame:
        return render(splats, camera, replace(wanted, antialiased=settings.antialiased))

    return render_as_trained


def training_views(path: Path) -> Sequence[CaptureView]:
    """All views of a run, as far as its capture is still there; none for a file."""
    capture = _capture_of(path)
    return () if capture is None else capture.views


def held_out_views(path: Path) -> Sequence[CaptureView]:
    """The held-out views of a run, as far as its capture is still there; none for a file."""
    capture = _capture_of(path)
    return () if capture is None else capture.test


def _capture_of(path: Path) -> Capture | None:
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


def origin_of(path: Path) -> tuple[float, float, float]:
    """What was subtracted from all coordinates of a run or a file."""
    source = RunFolder(path).splats_file if is_run(path) else path
    return splat_origin(source) if source.suffix.lower() == ".ply" else (0.0, 0.0, 0.0)

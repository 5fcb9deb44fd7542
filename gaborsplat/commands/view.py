"""`gaborsplat view`."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..console import console, error_console
from ..devices import pick_device
from ..following import INTERVAL, Followed
from ..renderer.devices import Device
from ..run_folder import RunFolder
from ..scenes import (
    READABLE,
    Capture,
    CaptureView,
    InputError,
    load_splat_file,
    one_line,
    save_splats,
    splat_origin,
)
from ..viewer import Action, Download, NamedCamera, Scene, SceneSource, Viewer, ViewerOptions
from ..viewer.path.file import Origin
from .access import Access


@dataclass(frozen=True)
class ViewCommand:
    """Show a run or a splat file in the browser, and show it anew whenever it changes."""

    path: tyro.conf.Positional[Path]
    """Run folder, or splat file (.ply, .compressed.ply, .splat, .spz, .sog)."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: int = 8080
    """Port to listen on."""
    beside: Path | None = None
    """Another run or splat file, shown in the right half of the picture, always with its waves."""
    stock_page: bool = False
    """Leave viser's own page as it is, without the faster display."""
    device: Device = "auto"
    """What renders."""
    scene: Path | None = None
    """Where the capture of a run is now, if it has moved since."""
    access: Annotated[Access, tyro.conf.arg(name="")] = field(default_factory=Access)

    def run(self) -> None:
        """Serve until Ctrl-C."""
        with self.served() as (viewer, look):
            console.print(f"{self.path} is shown at {viewer.url}; Ctrl-C ends it.")
            wait_for_ctrl_c(look, INTERVAL)

    @contextlib.contextmanager
    def served(self) -> Generator[tuple[Viewer, Callable[[], None]], None, None]:
        """A viewer, and what looks whether the files have changed, to be called every `INTERVAL`.

        Raises:
            InputError: the files cannot be read, or the address is not valid.
        """
        device = pick_device(self.device)
        # Of the first version: the cameras, and whatever follows, stand in its frame.
        origin = origin_of(self.path)
        shown = follow(self.path, origin, device)
        beside = None if self.beside is None else follow(self.beside, origin, device)
        followed = [each for each in (shown, beside) if each is not None]

        def look() -> None:
            for each in followed:
                each.look()

        download = Action(
            "Download PLY",
            "The whole scene with its waves, whatever is hidden at the moment",
            lambda: download_of(shown.source, name_of(self.path), origin),
        )
        with Viewer(
            shown.source,
            cameras=[
                NamedCamera(v.name, v.camera, v.shown) for v in all_views(self.path, self.scene)
            ],
            host=self.host,
            port=self.port,
            options=ViewerOptions(
                beside=None if beside is None else beside.source,
                actions=[download],
                origin=origin,
                stock_page=self.stock_page,
                **self.access.options(),
            ),
        ) as viewer:
            yield viewer, look


def wait_for_ctrl_c(meanwhile: Callable[[], None], interval: float) -> None:
    """Until KeyboardInterrupt, calling `meanwhile` every `interval` seconds."""
    while True:
        time.sleep(interval)
        meanwhile()


def follow(path: Path, origin: Origin, device: torch.device) -> Followed:
    """The splats of a run or a file, relative to `origin`, also of later versions. Raises as
    `load_scene`."""
    return Followed(lambda: _files_of(path), lambda: _load_relative(path, origin, device))


def download_of(source: SceneSource, name: str, origin: Origin) -> Download:
    """What `source` shows as `name`.ply, `origin` added to its positions."""
    shown = source.current
    if shown is None:
        raise InputError(f"{name}.ply: nothing is shown yet")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "splats.ply"
        antialiased = shown.settings.antialiased
        save_splats(shown.splats.scaled(source.unit), file, origin=origin, antialiased=antialiased)
        return Download(f"{name}.ply", file.read_bytes())


def name_of(path: Path) -> str:
    """What a run or a file is called, without folders and ending."""
    path = path.resolve()
    name = path.parent.name if path.name == "meta.json" else path.name
    ending = max((each for each in READABLE if name.lower().endswith(each)), key=len, default="")
    return name[: len(name) - len(ending)] or "splats"


def all_views(path: Path, scene: Path | None = None) -> Sequence[CaptureView]:
    """All views of a run, as far as its capture is still there; none for a file. Raises as
    `capture_of`."""
    capture = capture_of(path, scene)
    return () if capture is None else capture.views


def capture_of(path: Path, scene: Path | None = None) -> Capture | None:
    """The capture of a run, if it is still there; None for a file.

    Raises:
        InputError: it is not at `scene`, where somebody said that it is.
    """
    if not is_run(path):
        if scene is not None:
            raise InputError(f"--scene: goes with a run folder, which {path} is not")
        return None
    try:
        return RunFolder(path).capture(scene)
    except InputError as error:
        if scene is not None:
            raise
        error_console.print(f"note: without the photos: {one_line(error)}")
        return None


def is_run(path: Path) -> bool:
    """Whether `path` is a run folder, rather than a splat file or an unbundled SOG."""
    return path.is_dir() and not (path / "meta.json").is_file()


def load_scene(path: Path) -> Scene:
    """The splats of a run or a file, and how they are to be shown.

    Raises:
        InputError: `path` is neither, holds no splats yet, or is damaged.
    """
    if not is_run(path):
        file = load_splat_file(path)
        return Scene(file.splats, file.settings)
    run = RunFolder(path)
    settings = run.render_settings()
    return Scene(run.splats(), settings)


def load_beside(path: Path | None, shown: Path, device: torch.device) -> Scene | None:
    """The scene for the other half of a picture, in the frame of the one `shown`; None without a
    path. Raises as `load_scene`."""
    return None if path is None else _load_relative(path, origin_of(shown), device)


def origin_of(path: Path) -> Origin:
    """What was subtracted from all coordinates of a run or a file."""
    if is_run(path):
        return RunFolder(path).origin()
    return splat_origin(path) if path.suffix.lower() == ".ply" else (0.0, 0.0, 0.0)


def _load_relative(path: Path, origin: Origin, device: torch.device) -> Scene:
    scene = load_scene(path)
    splats = scene.splats
    shift = [theirs - ours for theirs, ours in zip(origin_of(path), origin, strict=True)]
    if any(shift):
        means = splats.means.double()
        means += means.new_tensor(shift)
        splats = replace(splats, means=means.to(splats.means))
    return Scene(splats.to(device), scene.settings)


def _files_of(path: Path) -> Sequence[Path]:
    """The files that the splats of a run or a file are in at the moment."""
    if is_run(path):
        return [RunFolder(path).newest_splats_file()]
    if path.name == "meta.json":  # an unbundled SOG
        path = path.parent
    return sorted(path.iterdir()) if path.is_dir() else [path]

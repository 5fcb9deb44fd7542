"""`gaborsplat view`."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..console import console
from ..devices import pick_device
from ..inputs.following import INTERVAL, Followed
from ..inputs.loading import (
    AS_THEY_SAY,
    LoadedScene,
    ShownAs,
    all_views,
    files_of,
    load_scene_on,
    name_of,
)
from ..renderer.devices import Device
from ..scenes import axis_vector, save_splats
from ..viewer import Action, Download, NamedCamera, Viewer, ViewerOptions
from ..viewer.path.file import Origin
from .access import Access
from .export.page import page_download


@dataclass(frozen=True)
class ViewCommand:
    """Show a run or a splat file in the browser, and show it anew whenever it changes."""

    path: tyro.conf.Positional[Path]
    """Run folder, or splat file (.ply, .compressed.ply, .spz, .sog, .glb, .gltf, .splat, .ksplat),
    or a folder or .zip with one."""
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
    shown_as: Annotated[ShownAs, tyro.conf.arg(name="")] = field(default_factory=ShownAs)
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
        shown = follow(self.path, None, device, self.shown_as)
        # The cameras, and whatever follows, stand in the frame of the first version.
        metadata, origin = shown.scene.metadata, shown.scene.metadata.origin
        beside = None if self.beside is None else follow(self.beside, origin, device)
        followed = [each for each in (shown, beside) if each is not None]

        def look() -> None:
            for each in followed:
                each.look()

        download = Action(
            "Download PLY",
            "The whole scene with its waves, whatever is hidden at the moment",
            lambda: download_of(shown, name_of(self.path)),
        )
        views = all_views(self.path, self.scene)
        page = Action(
            "Save page",
            "The scene and a viewer in one file, which any browser shows with no server",
            lambda: page_download(shown.scene, [v.camera for v in views], name_of(self.path)),
        )
        with Viewer(
            shown.source,
            cameras=[NamedCamera(v.name, v.camera, v.shown) for v in views],
            host=self.host,
            port=self.port,
            options=ViewerOptions(
                beside=None if beside is None else beside.source,
                actions=[download, page],
                origin=origin,
                up=metadata.up and axis_vector(metadata.up),
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


def follow(
    path: Path, origin: Origin | None, device: torch.device, shown_as: ShownAs = AS_THEY_SAY
) -> Followed:
    """The splats of a run or a file, also of later versions, relative to `origin`; None is that of
    the first version. Raises as `load_scene`."""

    def load() -> LoadedScene:
        nonlocal origin
        scene = load_scene_on(path, device, shown_as, origin)
        origin = scene.metadata.origin
        return scene

    return Followed(lambda: files_of(path), load)


def download_of(shown: Followed, name: str) -> Download:
    """The newest version as `name`.ply, in the capture's own frame."""
    scene = shown.scene
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "splats.ply"
        save_splats(scene.splats, file, metadata=scene.metadata)
        return Download(f"{name}.ply", file.read_bytes())

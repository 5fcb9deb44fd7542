"""Export as a page that any browser shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from ... import camera_path
from ...console import console, decimal_bytes
from ...inputs.loading import LoadedScene
from ...renderer.cameras import Camera
from ...renderer.files import replacing
from ...scenes import InputError, axis_vector
from ...viewer import Download
from ...viewer.camera import Outlook, bounds_of_cameras, outlook_of, up_direction
from ...viewer.page.budget import Packed, packed_within
from ...viewer.page.packing import packed
from ...viewer.page.page import Journey, PageView, embedded_page, empty_page, page_beside
from ...viewer.page.unpacking import unpacked
from .views import Views, agreement, told_psnr

PAGE_ENDING = ".html"
_STATIONS = 24
_PACE = 1.5
"""Seconds from one station to the next."""
_BASE64 = 3 / 4
"""Bytes a letter."""


@dataclass(frozen=True)
class PageOptions:
    """How a page (.html) is written and what it says."""

    embed: bool = True
    """With a page: have the scene in it; without, in a .gspl file beside it, for a web server, with
    progress while it loads."""
    viewer_only: bool = False
    """Write a page without a scene, which opens .ply, .spz, .sog and .splat files by drag and drop;
    PATH is not wanted."""
    title: str = ""
    """With a page: its title, by default the name of the scene."""
    caption: str = ""
    """With a page: a line below the title."""
    link: str = ""
    """With a page: https or http address to which its title leads."""
    path: Literal["cameras", "none"] | Path = "cameras"
    """With a page: camera path that it plays: past the training cameras, FILE.json or none."""

    def __post_init__(self) -> None:
        PageView(self.title, link=self.link)  # raises ValueError

    @property
    def any(self) -> bool:
        """Whether there is something that only pages have."""
        return any(getattr(self, each.name) != each.default for each in fields(self))

    def write_viewer(self, output: Path) -> None:
        """A page without a scene."""
        view = PageView(self.title or "Splats", self.caption, self.link)
        _write(output, empty_page(view).encode())
        console.print(f"A viewer without a scene: {output}")

    def write(
        self,
        output: Path,
        scene: LoadedScene,
        views: Views,
        megabytes: float | None,
        *,
        check: bool = True,
    ) -> None:
        """The page of a scene, and what it loses.

        Args:
            output: the page.
            scene: on the device that renders.
            views: from where it is looked at; those of a run are where the page begins.
            megabytes: that page and scene may have, if that is bounded.
            check: whether to look at what it loses.

        Raises:
            InputError: they are too few, or the camera path cannot be read.
        """
        title = self.title or scene.metadata.name or output.stem
        view = self.view_of(title, scene, views.fitted if views.of_run else ())
        viewer = sum(len(content) for content in self._files(output, view, b"").values())
        splats, settings, metadata = scene.splats, scene.settings, scene.metadata
        if megabytes is None:
            found = Packed(packed(splats, settings, metadata))
        else:
            room = int((megabytes * 1e6 - viewer) * (_BASE64 if self.embed else 1)) - 3
            if room <= 0:
                raise InputError(
                    f"--budget: must be above the {viewer / 1e6:.2f} MB of the viewer, "
                    f"not {megabytes:g}"
                )
            found = packed_within(splats, settings, metadata, views.fitted, room)
        files = self._files(output, view, found.data)
        for path, content in files.items():
            _write(path, content)
        if found.told:
            console.print(f"--budget {megabytes:g}: without {found.told}")
        size = sum(len(content) for content in files.values())
        shown = unpacked(found.data).to(splats.means.device)
        each = (size - viewer) / len(shown)
        console.print(
            f"{len(shown):,} splats of {each:.1f} bytes, {decimal_bytes(size)} with the viewer: "
            f"{output}"
        )
        if not check:
            return
        before = views.pictures(splats, settings)
        cost = told_psnr(agreement(views.pictures(shown, settings), before))
        console.print(f"Shown by the page: {cost} on {views.told}")

    def _files(self, output: Path, view: PageView, data: bytes) -> dict[Path, bytes]:
        """Contents by path; the page comes last."""
        if self.embed:
            return {output: embedded_page(view, data).encode()}
        beside = output.with_suffix(".gspl")
        return {beside: data, output: page_beside(view, beside.name).encode()}

    def view_of(self, title: str, scene: LoadedScene, cameras: Sequence[Camera]) -> PageView:
        """What a page says and from where it looks, by the cameras of photos, if there are any."""
        return PageView(
            title,
            self.caption,
            self.link,
            _outlooks(scene, cameras)[0] if cameras else None,
            self._journey(scene, cameras),
            cameras,
        )

    def _journey(self, scene: LoadedScene, cameras: Sequence[Camera]) -> Journey | None:
        if isinstance(self.path, Path):
            film = camera_path.from_file(self.path, scene.metadata.origin)
            cameras = camera_path.along(film, film.size or (1280, 720))
            seconds = len(cameras) / (film.fps or 30)
        else:
            seconds = math.inf
        if self.path == "none" or len(cameras) < 2:
            return None
        places = np.unique(np.linspace(0, len(cameras) - 1, _STATIONS).round().astype(int))
        stations = _outlooks(scene, [cameras[place] for place in places])
        return Journey(stations, min(seconds, _PACE * len(stations)))


def page_download(scene: LoadedScene, cameras: Sequence[Camera], name: str) -> Download:
    """The page of a scene as `name`.html, for a browser to save; with the cameras of its photos."""
    view = PageOptions().view_of(name, scene, cameras)
    data = packed(scene.splats, scene.settings, scene.metadata)
    return Download(f"{name}.html", embedded_page(view, data).encode())


def _outlooks(scene: LoadedScene, cameras: Sequence[Camera]) -> list[Outlook]:
    named = scene.metadata.up
    up = up_direction(cameras) if named is None else np.array(axis_vector(named))
    bounds = bounds_of_cameras(cameras)
    return [outlook_of(camera, up, bounds) for camera in cameras]


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as draft:
        draft.write_bytes(content)

"""`gaborsplat render`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import tyro
from rich.progress import track

from .. import camera_path
from ..console import console, error_console
from ..devices import pick_device
from ..inputs.loading import LoadedScene, ShownAs, all_views, load_scene, relative_to
from ..renderer.cameras import Camera
from ..renderer.devices import Device
from ..scenes import InputError
from ..viewer.camera import bounds_of_splats
from ..viewer.path.file import Film
from ..viewer.path.path import DEFAULT_FPS, MAX_FPS
from ..viewer.picture.draw import PictureRenderer, Renderers, Scene
from ..viewer.picture.paint import Picture
from ..viewer.picture.video import write_video
from ..viewer.settings import Mode, ViewSettings

DEFAULT_SIZE = (960, 540)


@dataclass(frozen=True)
class RenderCommand:
    """Render a video, or a folder of pictures, along a camera path."""

    path: tyro.conf.Positional[Path]
    """Run folder or splat file."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Video to write (.mp4), or folder for PNGs."""
    along: Annotated[str, tyro.conf.arg(name="path")] = "orbit"
    """orbit, cameras (past the training cameras), or a JSON file: "camera_path", a list with a
    "camera_to_world" (4x4 by rows, y up, looking along -z) in the capture's frame, and a "fov"
    (vertical, in degrees) for every picture."""
    size: str | None = None
    """Size of the pictures, WxH; by default what the JSON file says, else that of the training
    photos, else 960x540."""
    fps: int | None = None
    """Pictures per second of the video; by default what the JSON file says, else 30."""
    seconds: float = 6.0
    """Length of the orbit, or of the way past the cameras."""
    show: Mode = "rgb"
    """Colours, depth, opacity, normals of the surface, or a dot at the centre of every splat; or
    the waves: direction as hue, frequency as brightness."""
    waves: bool = True
    """Draw the Gabor waves of PATH; without them the Gaussian envelopes alone."""
    beside: Path | None = None
    """Another run or splat file, shown in the right half of every picture, with its waves."""
    device: Device = "auto"
    """What renders."""
    scene: Path | None = None
    """Where the capture of a run is now, if it has moved since."""
    shown_as: Annotated[ShownAs, tyro.conf.arg(name="")] = field(default_factory=ShownAs)

    def __post_init__(self) -> None:
        if self.fps is not None and not 1 <= self.fps <= MAX_FPS:
            raise ValueError(f"--fps must be between 1 and {MAX_FPS}, not {self.fps}")
        if not 0 < self.seconds <= 3600:
            raise ValueError(f"--seconds must be between 0 and 3600, not {self.seconds}")

    def run(self) -> None:
        """Render every frame and write the result whole or not at all."""
        video = self.output.suffix.lower() == ".mp4"
        if self.output.suffix and not video:
            raise InputError(f"{self.output}: known are .mp4 and folders (a name without ending)")
        loaded = load_scene(self.path, self.shown_as)
        trained_on = [view.camera for view in all_views(self.path, self.scene)]
        film = self._film(loaded)
        size = self._size(film, trained_on, even=video)
        fps = self.fps or (film and film.fps) or DEFAULT_FPS
        if film is not None:
            cameras = camera_path.along(film, size)
        else:
            cameras = self._cameras(trained_on, loaded, size, max(round(fps * self.seconds), 1))
        device = pick_device(self.device)
        scene, beside = _moved(loaded, device), None
        if self.beside is not None:
            other = relative_to(load_scene(self.beside), loaded.metadata.origin)
            beside = _moved(other, device)
        frames = self._pictures(scene, beside, cameras)
        shown = track(frames, "render", len(cameras), console=error_console, transient=True)
        if video:
            write_video(self.output, shown, size, fps)
        else:
            _write_pictures(self.output, shown)
        console.print(f"{len(cameras)} frames, {size[0]}x{size[1]}: {self.output}")

    def _pictures(
        self, scene: Scene, beside: Scene | None, cameras: list[Camera]
    ) -> Iterator[Picture]:
        """[H, W, 3] BGR of each camera."""
        red, green, blue = (round(255 * x) for x in scene.settings.background)
        settings = ViewSettings(
            mode=self.show,
            background=(red, green, blue),
            waves=self.waves,
            beside="other",
        )
        renderer = PictureRenderer(Renderers(), divider=False)
        for camera in cameras:
            picture = renderer.draw(scene, camera, settings, other=beside).picture
            yield np.ascontiguousarray(picture[..., ::-1])

    def _film(self, loaded: LoadedScene) -> Film | None:
        """What the camera path's file holds; None where the way needs no file."""
        if self.along in ("orbit", "cameras"):
            return None
        return camera_path.from_file(Path(self.along), loaded.metadata.origin)

    def _size(self, film: Film | None, trained_on: list[Camera], *, even: bool) -> tuple[int, int]:
        if self.size is None:
            usual = trained_on[0].size if trained_on else DEFAULT_SIZE
            width, height = (film and film.size) or usual
        else:
            match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", self.size)
            if match is None:
                raise InputError(f"--size: must be WxH, such as 1280x720, not {self.size}")
            width, height = int(match[1]), int(match[2])
        if min(width, height) < 1 + even:
            raise InputError(f"--size: a side must be at least {1 + even}, not {width}x{height}")
        # Video codecs halve the resolution of colour.
        return (width - width % 2, height - height % 2) if even else (width, height)

    def _cameras(
        self, trained_on: list[Camera], loaded: LoadedScene, size: tuple[int, int], frames: int
    ) -> list[Camera]:
        if self.along == "cameras":
            return camera_path.past(trained_on, frames, size)
        bounds = bounds_of_splats(loaded.splats)
        return camera_path.orbit(trained_on, bounds, frames, size, loaded.metadata.up)


def _moved(scene: Scene, device: torch.device) -> Scene:
    return replace(scene, splats=scene.splats.to(device))


def _write_pictures(folder: Path, frames: Iterable[Picture]) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is not an empty folder; choose another --output")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _named(folder):
        home = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.")
    with home as unfinished:
        for k, frame in enumerate(frames):
            name = f"{k:05d}.png"
            with _named(folder / name):
                (Path(unfinished) / name).write_bytes(cv2.imencode(".png", frame)[1].tobytes())
        Path(unfinished).chmod(0o755)
        finished = Path(unfinished).rename(folder)
        finished.with_name(Path(unfinished).name).mkdir()  # for the clean-up to remove


@contextmanager
def _named(path: Path) -> Generator[None, None, None]:
    """What the system says of a draft is said of what becomes of it."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise

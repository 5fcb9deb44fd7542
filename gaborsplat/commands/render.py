"""`gaborsplat render`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, get_args

import torch
import tyro
from rich.progress import track

from .. import camera_path
from ..console import console, error_console
from ..devices import pick_device
from ..inputs.loading import LoadedScene, ShownAs, all_views, load_scene_on
from ..renderer.cameras import Camera
from ..renderer.devices import Device
from ..renderer.training import free_memory
from ..scenes import InputError
from ..several import OwnWords, joined, leading, values
from ..viewer.camera import bounds_of_splats
from ..viewer.path.file import Film
from ..viewer.path.path import DEFAULT_FPS, MAX_FPS
from ..viewer.picture.draw import memory_of_wide
from ..viewer.picture.encode import NUMBERS, WEBP_SIDE, Background, Encoder, Format
from ..viewer.picture.folder import write_folder
from ..viewer.picture.projection import Projection, WideLens
from ..viewer.picture.series import Series, depth_unit, said_of_depth
from ..viewer.picture.video import write_video
from ..viewer.settings import MODES, Mode, ViewSettings

DEFAULT_SIZE = (960, 540)
DEFAULT_FOV = 180.0
"""Angle across a fisheye picture [degrees]."""
FORMATS: tuple[Format, ...] = get_args(Format)
NO_COLORS = ("scene", "transparent")
"""What --background may say besides a colour."""


@dataclass(frozen=True)
class RenderCommand:
    """Render a video, or a folder of pictures, along a camera path."""

    path: tyro.conf.Positional[Path]
    """Run folder or splat file."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Video to write (.mp4), or folder for pictures and a transforms.json of their cameras."""
    along: Annotated[str, tyro.conf.arg(name="path")] = "orbit"
    """orbit, cameras (past the training cameras), or a JSON file: "camera_path", a list with a
    "camera_to_world" (4x4 by rows, y up, looking along -z) in the capture's frame, and a "fov"
    (vertical, in degrees) for every picture."""
    size: str | None = None
    """Size of the pictures, WxH; by default what the JSON file says, else that of the training
    photos, else 960x540. Of panoramas the height is half the width by default."""
    fps: int | None = None
    """Pictures per second of the video; by default what the JSON file says, else 30."""
    seconds: float = 6.0
    """Length of the orbit, or of the way past the cameras."""
    show: Annotated[tuple[Mode, ...], values(f"{{{','.join(MODES)}}}...")] = ("rgb",)
    """Colours, depth, opacity, normals of the surface, or a dot at the centre of every splat; or
    the waves: direction as hue, frequency as brightness. Of several each has a folder of its own,
    or a video: FILE_depth.mp4."""
    format: Annotated[tuple[Format, ...], values(f"{{{','.join(FORMATS)}}}...")] = ("png",)
    """Of pictures; one for all, or one for each that --show names. png and webp (lossless) have 8
    bits, and colours for depth and normals. exr (32-bit floats) and png16 (16 bits) have depth in
    the capture's unit (png16: times depth_unit_scale_factor, which the file states), 0 where
    nothing is, and unit normals (png16: 0.5 + 0.5 n). Colours in exr are linear light."""
    background: Annotated[tuple[str, ...], values("scene|transparent|R G B")] = ("scene",)
    """What stands behind the splats: what they were trained on, or a colour, each from 0 to 1,
    which change rgb and centres alone; or nothing, for pictures with alpha (straight; in exr
    premultiplied)."""
    projection: Projection = "perspective"
    """equirectangular has all directions, with the camera's axis in the middle; fisheye is
    equidistant, a circle as wide as the shorter side. Depth is distance in these."""
    fov: float | None = None
    """Angle across the fisheye's circle in degrees, up to 360; by default 180."""
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
        _check_known("--show", self.show, MODES)
        _check_known("--format", self.format, FORMATS)
        if not self.show or len(set(self.show)) < len(self.show):
            raise ValueError(f"--show must name each thing once, not {_listed(self.show)}")
        if len(self.format) not in (1, len(self.show)):
            raise ValueError(
                f"--format must be one for all, or one for each of the {len(self.show)} that "
                f"--show names, not {_listed(self.format)}"
            )
        if self.fov is not None and self.projection != "fisheye":
            raise ValueError(f"--fov goes with --projection fisheye, not {self.projection}")
        if self.fov is not None and not 0 < self.fov <= 360:
            raise ValueError(f"--fov must be above 0 and at most 360 degrees, not {self.fov:g}")
        if self.shown_as.up is not None and self.along != "orbit":
            raise ValueError(f"--up goes with --path orbit, not {self.along}")
        _color(self.background)

    def run(self) -> None:
        """Render every frame and write the result whole or not at all."""
        video = self.output.suffix.lower() == ".mp4"
        if self.output.suffix and not video:
            raise InputError(f"{self.output}: known are .mp4 and folders (a name without ending)")
        if video:
            self._check_for_video()
        device = pick_device(self.device)
        loaded = load_scene_on(self.path, device, self.shown_as)
        trained_on = [view.camera for view in all_views(self.path, self.scene)]
        film = self._film(loaded)
        size = self._size(film, trained_on, even=video)
        fps = self.fps or (film and film.fps) or DEFAULT_FPS
        if film is not None:
            cameras = camera_path.along(film, size)
        else:
            cameras = self._cameras(trained_on, loaded, size, max(round(fps * self.seconds), 1))
        color = self._background(loaded.settings.background)
        red, green, blue = (round(255 * x) for x in color or (0.0, 0.0, 0.0))
        if self.projection != "perspective":
            self._check_memory(size, device)
        beside = None
        if self.beside is not None:
            beside = load_scene_on(self.beside, device, origin=loaded.metadata.origin)
        series = Series(
            loaded,
            cameras,
            ViewSettings(background=(red, green, blue), waves=self.waves, beside="other"),
            beside,
            self._lens(),
            _tracked,
        )
        encoders = self._encoders(series, color)
        if video:
            written = self._write_videos(series, encoders, fps)
        else:
            write_folder(self.output, series.files(encoders, loaded.metadata.origin))
            written = [self.output]
        _say_what_was_too_far(encoders)
        frames = f"{len(cameras)} frames, {size[0]}x{size[1]}"
        console.print(f"{frames}: {', '.join(map(str, written))}")

    def _check_for_video(self) -> None:
        if self.format != ("png",):
            raise InputError(
                f"--format: goes with a folder of pictures, not with the video {self.output}"
            )
        if self.background == ("transparent",):
            raise InputError(
                f"--background transparent: {self.output} cannot hold it; write a folder of "
                "pictures (a name without ending)"
            )

    def _check_memory(self, size: tuple[int, int], device: torch.device) -> None:
        needed, free = memory_of_wide(size, self.show), free_memory(device)
        if free is not None and needed > free:
            raise InputError(
                f"--size: {size[0]}x{size[1]} as {self.projection} takes about "
                f"{needed / 1e9:.2g} GB, and {free / 1e9:.2g} GB are free on {device}; give less"
            )

    def _background(self, of_scene: Background) -> Background | None:
        return of_scene if self.background == ("scene",) else _color(self.background)

    def _lens(self) -> WideLens | None:
        if self.projection == "perspective":
            return None
        return WideLens(self.projection, math.radians(self.fov or DEFAULT_FOV))

    def _encoders(self, series: Series, color: Background | None) -> list[Encoder]:
        """What makes a file of a picture, for each thing that is shown."""
        formats = self.format if len(self.format) > 1 else self.format * len(self.show)
        found: list[Encoder] = []
        for mode, kind in zip(self.show, formats, strict=True):
            encoder = Encoder(mode, kind, color)
            if mode == "depth" and kind in NUMBERS:
                if kind == "png16":
                    encoder.depth_unit = depth_unit(series.scene.splats, series.cameras)
                encoder.said = said_of_depth(encoder.depth_unit, series.lens)
            found.append(encoder)
        if max(series.cameras[0].size) > WEBP_SIDE and "webp" in formats:
            raise InputError(f"--size: a side of WebP is at most {WEBP_SIDE} px; choose png")
        return found

    def _write_videos(self, series: Series, encoders: list[Encoder], fps: int) -> list[Path]:
        """One after the other, each whole or not at all.

        Each mode renders the scene anew, so that one encoder runs at a time, with one draft on the
        disk: what is written before another fails stays whole.
        """
        paths = (
            [self.output.with_stem(f"{self.output.stem}_{each.mode}") for each in encoders]
            if len(encoders) > 1
            else [self.output]
        )
        for path, encoder in zip(paths, encoders, strict=True):
            frames = series.pictures(encoder)
            write_video(path, (frame[..., ::-1] for frame in frames), series.cameras[0].size, fps)
        return paths

    def _film(self, loaded: LoadedScene) -> Film | None:
        """What the camera path's file holds; None where the way needs no file."""
        if self.along in ("orbit", "cameras"):
            return None
        return camera_path.from_file(Path(self.along), loaded.metadata.origin)

    def _size(self, film: Film | None, trained_on: list[Camera], *, even: bool) -> tuple[int, int]:
        if self.size is None:
            usual = trained_on[0].size if trained_on else DEFAULT_SIZE
            width, height = (film and film.size) or usual
            if self.projection == "equirectangular":
                height = max(width // 2, 1)
        else:
            match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", self.size)
            if match is None:
                raise InputError(f"--size: must be WxH, such as 1280x720, not {self.size}")
            width, height = int(match[1]), int(match[2])
        if min(width, height) < 1 + even:
            raise InputError(f"--size: a side must be at least {1 + even}, not {width}x{height}")
        # Video codecs halve the resolution of colour.
        size = (width - width % 2, height - height % 2) if even else (width, height)
        if size != (width, height):
            error_console.print(
                f"note: {self.output}: {size[0]}x{size[1]} instead of {width}x{height}, as videos "
                "have even sides; a folder of pictures has any"
            )
        return size

    def _cameras(
        self, trained_on: list[Camera], loaded: LoadedScene, size: tuple[int, int], frames: int
    ) -> list[Camera]:
        if self.along == "cameras":
            return camera_path.past(trained_on, frames, size)
        bounds = bounds_of_splats(loaded.splats)
        return camera_path.orbit(trained_on, bounds, frames, size, loaded.metadata.up)


def in_few_words(words: Sequence[str]) -> list[str]:
    """The command's `words` with the values of each option as one word, as tyro is to get them."""
    return joined(words, _SEVERAL)


def _words_of_background(words: Sequence[str]) -> int:
    return 1 if words[0] in NO_COLORS else leading(words[:3], _is_number)


_SEVERAL: Mapping[str, OwnWords] = {
    "--show": lambda words: leading(words, MODES.__contains__),
    "--format": lambda words: leading(words, FORMATS.__contains__),
    "--background": _words_of_background,
}


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_known(option: str, words: Sequence[str], known: Sequence[str]) -> None:
    for word in words:
        if word not in known:
            raise ValueError(f"{option}: known are {', '.join(known)}, not {word or 'nothing'}")


def _color(words: tuple[str, ...]) -> Background | None:
    """What --background says: a colour, or None where it names one, or none.

    Raises:
        ValueError: it says something else.
    """
    if len(words) == 1 and words[0] in NO_COLORS:
        return None
    try:
        red, green, blue = map(float, words)
        if not all(0 <= value <= 1 for value in (red, green, blue)):
            raise ValueError
    except ValueError:
        raise ValueError(
            "--background must be scene, transparent or R G B, each from 0 to 1 (white is 1 1 1), "
            f"not {_listed(words)}"
        ) from None
    return red, green, blue


def _listed(words: tuple[str, ...]) -> str:
    return " ".join(words) or "nothing"


def _tracked(cameras: Sequence[Camera]) -> Iterable[Camera]:
    """The cameras, with a bar that shows how many are done."""
    return track(cameras, "render", console=error_console, transient=True)


def _say_what_was_too_far(encoders: list[Encoder]) -> None:
    for each in encoders:
        if each.beyond:
            error_console.print(
                f"note: the depth of {each.beyond} pixels is cut to 65535, for it is more than "
                f"{65535 * each.depth_unit:g}; --format exr keeps it"
            )

"""The pictures of a scene along a way: as files of every kind that is wanted, or for a video."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from ...renderer.cameras import Camera
from ...renderer.frame import Frame
from ...renderer.splats import Splats
from ...scenes.transforms.writing import transforms_json
from ..settings import Mode, ViewSettings
from .draw import PictureRenderer, Renderers, Scene
from .encode import ENDINGS, NUMBERS, Encoder
from .paint import Picture
from .projection import WideLens

_MEASURED = 20_000
"""About as many splats and cameras go into `depth_unit`."""
_STEPS = 1000
"""Steps of depth as far as splats lie from cameras, at the least; 65 times as far it ends."""


@dataclass(frozen=True)
class Series:
    """What is drawn of a scene, and from where.

    Attributes:
        scene: what is drawn.
        cameras: of one size; of a `lens`, place and heading alone count.
        settings: what else is chosen; the mode is not.
        beside: what stands in the right part, where `settings` want it.
        lens: what takes the pictures, if no pinhole does.
        watched: gives the cameras back one by one, and may tell how many are done.
    """

    scene: Scene
    cameras: Sequence[Camera]
    settings: ViewSettings
    beside: Scene | None = None
    lens: WideLens | None = None
    watched: Callable[[Sequence[Camera]], Iterable[Camera]] = iter

    def files(
        self, encoders: Sequence[Encoder], origin: tuple[float, float, float]
    ) -> Iterator[tuple[str, bytes]]:
        """Names and contents of the pictures of all encoders, each in a folder of its own if there
        are several, and of the transforms.json, in the frame from which `origin` was taken."""
        listed: list[dict[str, str]] = []
        for number, shown in enumerate(self._encoded(encoders)):
            names = [_name(number, each, alone=len(encoders) == 1) for each in encoders]
            yield from zip(names, shown, strict=True)
            listed.append(_keys(encoders, names))
        lens = None if self.lens is None else self.lens.intrinsics(self.cameras[0].size)
        said = next((each.said for each in encoders if each.said), {})
        document = transforms_json(self.cameras, listed, origin, lens=lens, said=said)
        yield "transforms.json", document.encode()

    def pictures(self, encoder: Encoder) -> Iterator[Picture]:
        """[H, W, 3] RGB of each camera."""
        if self._as_bytes(encoder):
            renderer = PictureRenderer(Renderers(), divider=False)
            for camera in self.watched(self.cameras):
                yield renderer.draw(self.scene, camera, self.settings, other=self.beside).picture
        else:
            for (frame,) in self._frames([encoder.mode]):
                yield encoder.eight(frame)

    def _encoded(self, encoders: Sequence[Encoder]) -> Iterator[Iterable[bytes]]:
        """The files of each camera, in the order of the encoders."""
        if len(encoders) == 1 and self._as_bytes(encoders[0]):
            for picture in self.pictures(encoders[0]):
                yield [encoders[0].packed(picture)]
        else:
            for frames in self._frames([each.mode for each in encoders]):
                yield [each.encoded(frame) for each, frame in zip(encoders, frames, strict=True)]

    def _as_bytes(self, encoder: Encoder) -> bool:
        """Whether the renderer itself gives the picture's bytes, which is quicker."""
        coloured = encoder.mode == "rgb" and encoder.format not in NUMBERS
        return coloured and encoder.background is not None and self.lens is None

    def _frames(self, modes: Sequence[Mode]) -> Iterator[list[Frame]]:
        """The frames of each camera, in the order of `modes`."""
        renderer = PictureRenderer(Renderers())
        for camera in self.watched(self.cameras):
            yield renderer.frames(
                self.scene, camera, modes, self.settings, other=self.beside, lens=self.lens
            )


def depth_unit(splats: Splats, cameras: Sequence[Camera]) -> float:
    """A power of ten of the splats' unit, of which half of them lie 1000 to 10 000 or more from the
    cameras: a thousandth where they lie a few units away."""
    chosen = cameras[:: math.ceil(len(cameras) / 16)]
    means = splats.means[:: max(1, len(splats) * len(chosen) // _MEASURED)].cpu().double()
    places = torch.stack([camera.position.cpu().double() for camera in chosen])
    typical = float(torch.cdist(places, means).median()) if len(means) else 1.0
    return 10.0 ** math.floor(math.log10(max(typical, 1e-30) / _STEPS))


def said_of_depth(unit: float, lens: WideLens | None) -> dict[str, float | str]:
    """What a file of depth, and transforms.json, say of its numbers."""
    measured = "z" if lens is None else "distance"
    return {"depth_unit_scale_factor": unit, "depth_measured": measured, "depth_of_nothing": 0}


def _name(number: int, encoder: Encoder, *, alone: bool) -> str:
    name = f"{number:05d}{ENDINGS[encoder.format]}"
    return name if alone else f"{encoder.mode}/{name}"


def _keys(encoders: Sequence[Encoder], names: Sequence[str]) -> dict[str, str]:
    """The names of one camera's files by the keys of a frame. Colours for depth are no depth."""
    first = next((i for i, each in enumerate(encoders) if each.mode == "rgb"), 0)
    keys = {"file_path": names[first]}
    for encoder, name in zip(encoders, names, strict=True):
        if encoder.format in NUMBERS and encoder.mode == "depth":
            keys["depth_file_path"] = name
        if encoder.mode == "normals":
            keys["normal_file_path"] = name
    return keys

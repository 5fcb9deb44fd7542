"""The scene of a run folder or a splat file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..console import error_console
from ..run_folder import RunFolder
from ..scenes import (
    DEFAULT_METADATA,
    META_NAMES,
    READABLE,
    Axis,
    Capture,
    CaptureView,
    Frame,
    InputError,
    SplatMetadata,
    holds_splats,
    load_splat_file,
    one_line,
    splat_file_in,
)
from ..viewer import Scene
from ..viewer.path.file import Origin


@dataclass(frozen=True)
class Antialiasing:
    """Options that overrule what a run or a splat file says of antialiasing."""

    antialiased: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show the splats with Mip-Splatting's opacity compensation, whatever the run or file says."""
    no_antialiased: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show them without, whatever it says."""

    def __post_init__(self) -> None:
        if self.antialiased and self.no_antialiased:
            raise ValueError("--antialiased and --no-antialiased: give one of them")

    @property
    def chosen(self) -> bool | None:
        """What is to hold; None where nothing is overruled."""
        return self.antialiased if self.antialiased or self.no_antialiased else None


@dataclass(frozen=True)
class ShownAs(Antialiasing):
    """Options that overrule what a splat file says of how it is to be shown."""

    up: Axis | None = None
    """Direction that is up in the scene, whatever PATH and its cameras say."""
    frame: Frame | None = None
    """Axes of the numbers in a splat file, whatever it says: where x, y and z point, as left or
    right, up or down, front or back."""

    def over(self, metadata: SplatMetadata) -> SplatMetadata:
        """What is to hold of splats of which a file says `metadata`."""
        if self.chosen is not None:
            metadata = replace(metadata, antialiased=self.chosen)
        return metadata if self.up is None else replace(metadata, up=self.up)


AS_THEY_SAY = ShownAs()
"""Nothing is overruled."""


@dataclass(frozen=True)
class LoadedScene(Scene):
    """A scene from disk.

    Attributes:
        metadata: how it is to be shown, of which `settings` follow.
    """

    metadata: SplatMetadata = DEFAULT_METADATA


def is_run(path: Path) -> bool:
    """Whether `path` is a run folder, rather than a splat file, an unbundled SOG, or the folder of
    another program with a splat file in it."""
    if not path.is_dir() or _is_sog(path):
        return False
    return (path / "config.json").is_file() or not holds_splats(path)


def _is_sog(folder: Path) -> bool:
    return any((folder / name).is_file() for name in META_NAMES)


def load_scene(path: Path, shown_as: ShownAs = AS_THEY_SAY) -> LoadedScene:
    """The splats of a run or a file, and how they are to be shown.

    Raises:
        InputError: `path` is neither, holds no splats yet, or is damaged.
    """
    if is_run(path):
        if shown_as.frame is not None:
            raise InputError(f"--frame: goes with a splat file, which {path} is not")
        run = RunFolder(path)
        settings = run.render_settings()
        metadata = SplatMetadata(
            antialiased=settings.antialiased,
            origin=run.origin(),
            background=settings.background,
            name=name_of(path),
        )
        splats = run.splats()
    else:
        file = load_splat_file(path, frame=shown_as.frame)
        splats, settings, metadata = file.splats, file.settings, file.metadata
    metadata = shown_as.over(metadata)
    settings = replace(settings, antialiased=bool(metadata.antialiased))
    return LoadedScene(splats, settings, metadata)


def load_scene_on(
    path: Path, device: torch.device, shown_as: ShownAs = AS_THEY_SAY, origin: Origin | None = None
) -> LoadedScene:
    """What `load_scene` gives, on a device, and relative to `origin`, if that is given."""
    scene = load_scene(path, shown_as)
    scene = scene if origin is None else relative_to(scene, origin)
    return replace(scene, splats=scene.splats.to(device))


def relative_to(scene: LoadedScene, origin: Origin) -> LoadedScene:
    """The same scene with positions relative to another origin."""
    shift = [theirs - ours for theirs, ours in zip(scene.metadata.origin, origin, strict=True)]
    if not any(shift):
        return scene
    means = scene.splats.means.double()
    means += means.new_tensor(shift)
    splats = replace(scene.splats, means=means.to(scene.splats.means))
    return replace(scene, splats=splats, metadata=replace(scene.metadata, origin=origin))


def files_of(path: Path) -> Sequence[Path]:
    """The files that the splats of a run or a file are in at the moment."""
    if is_run(path):
        return [RunFolder(path).newest_splats_file()]
    if path.name in META_NAMES:  # an unbundled SOG
        path = path.parent
    if path.is_dir() and not _is_sog(path):
        return [splat_file_in(path) or path]
    return sorted([*path.glob("*"), *path.glob("*/*")]) if path.is_dir() else [path]


def name_of(path: Path) -> str:
    """What a run or a file is called, without folders and ending."""
    path = path.resolve()
    name = path.parent.name if path.name in META_NAMES else path.name
    ending = max(
        (each for each in (*READABLE, ".zip") if name.lower().endswith(each)), key=len, default=""
    )
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

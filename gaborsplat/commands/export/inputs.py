"""Several runs and splat files as one scene, with the cameras of the runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from ...console import console
from ...inputs.loading import LoadedScene, ShownAs, capture_of, load_scene, relative_to
from ...renderer.cameras import Camera
from ...renderer.editing.merging import merged
from ...renderer.editing.moving import Similarity, transformed_camera
from ...renderer.training import LeftOut
from ...renderer.training.data import load_photo
from ...scenes import Capture, CaptureView, InputError
from .views import NOTICED, Views


@dataclass(frozen=True)
class Inputs:
    """What is exported.

    Attributes:
        scene: all splats, relative to the origin of the first input.
        captures: those of the runs that are still there, with what their coordinates are to be
            shifted by, [3] float64.
    """

    scene: LoadedScene
    captures: Sequence[tuple[Capture, torch.Tensor]]

    @classmethod
    def of(
        cls, paths: Sequence[Path], shown_as: ShownAs, capture: Path | None, *, photos: bool
    ) -> Inputs:
        """Those of `paths`; where the `capture` of a run is now, and whether `photos` are wanted.

        Raises:
            InputError: one cannot be read, or they are not to be shown alike.
        """
        if not paths:
            raise InputError("export: name a run folder or a splat file, or several")
        if capture is not None and len(paths) > 1:
            raise InputError(f"--scene: goes with one input, not with {len(paths)}")
        scenes = [load_scene(path, shown_as) for path in paths]
        origin = scenes[0].metadata.origin
        captures: list[tuple[Capture, torch.Tensor]] = []
        for path, scene in zip(paths, scenes, strict=True):
            found = capture_of(path, capture) if photos else None
            if found is not None:
                here = torch.tensor(scene.metadata.origin, dtype=torch.float64, device="cpu")
                captures.append((found, here - here.new_tensor(origin)))
        return cls(_joined(paths, scenes), captures)

    def views(self) -> Views:
        """Where the runs were seen from; around the scene without any."""
        test = self._cameras([(capture.test, shift) for capture, shift in self.captures])
        train = self._cameras([(capture.train, shift) for capture, shift in self.captures])
        if not (test or train):
            return Views.around(self.scene)
        return Views.of_cameras(test, train)

    def held_out(self) -> Sequence[CaptureView]:
        """Test views whose photos can be read, of a run that is exported alone."""
        if len(self.captures) != 1:
            return ()
        left_out, load = LeftOut(), partial(load_photo, device=torch.device("cpu"))
        views = self.captures[0][0].test
        return [view for view in views if left_out.photo(view, load) is not None]

    @staticmethod
    def _cameras(
        found: Sequence[tuple[Sequence[CaptureView], torch.Tensor]],
    ) -> list[Camera]:
        still = torch.eye(3, dtype=torch.float64, device="cpu")
        return [
            transformed_camera(view.camera, Similarity(1.0, 1.0, still, shift))
            for views, shift in found
            for view in views
        ]


def _joined(paths: Sequence[Path], scenes: Sequence[LoadedScene]) -> LoadedScene:
    first = scenes[0]
    if len(scenes) == 1:
        return first
    for path, scene in zip(paths, scenes, strict=True):
        if scene.settings.antialiased != first.settings.antialiased:
            with_it, without = (paths[0], path)[:: 1 if first.settings.antialiased else -1]
            raise InputError(
                f"{with_it}: is to be shown with antialiasing, and {without} without; say by "
                "--antialiased or --no-antialiased how both are"
            )
    near_first = [relative_to(each, first.metadata.origin) for each in scenes]
    splats = merged([each.splats for each in near_first])
    counts = " + ".join(f"{len(each.splats):,}" for each in scenes)
    console.print(f"merged: {counts} = {len(splats):,} splats")
    for path, scene, near in zip(paths, scenes, near_first, strict=True):
        for line in _lost_by_merging(scene, near, first):
            console.print(f"  {path}: {line}")
    near = min(each.settings.near_plane for each in scenes)
    return replace(first, splats=splats, settings=replace(first.settings, near_plane=near))


def _lost_by_merging(
    scene: LoadedScene, near_first: LoadedScene, first: LoadedScene
) -> Iterator[str]:
    """What of a scene is not in the frame of the first one, a line each."""
    rounded = relative_to(near_first, scene.metadata.origin).splats.means - scene.splats.means
    sizes = scene.splats.scales.median(dim=1).values
    if len(sizes) and float(rounded.norm(dim=1).median()) > NOTICED * float(sizes.median()):
        yield (
            f"too far from the first for float32: off by up to "
            f"{float(rounded.norm(dim=1).max()):.3g}, at sizes of {float(sizes.median()):.3g}; "
            "export them apart"
        )
    for name in ("up", "background"):
        theirs, ours = (getattr(each.metadata, name) for each in (scene, first))
        if theirs is not None and theirs != ours:
            yield f"its {name}, {theirs}, is not kept: that of the first is {ours}"

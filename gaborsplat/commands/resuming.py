"""Which run goes on, and from where, when `train --resume` is asked for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..console import error_console
from ..renderer.training import Trainer, checkpoints, load_checkpoint
from ..run_folder import RunFolder
from ..scenes import InputError, capture_name, load_capture


def run_to_resume(out: Path | None, scene: Path | None, moved_to: Path | None) -> RunFolder:
    """The run in `out`, or the newest under runs/ of the `scene`, by its name or by what its photos
    show; `moved_to` is where it is now.

    Raises:
        InputError: there is none, or nothing says which.
    """
    if out is not None:
        if not out.is_dir():
            raise InputError(f"{out}: no such folder")
        return RunFolder(out)
    place = moved_to or scene
    if place is None:
        raise InputError("--resume: name the capture, SCENE or --scene, or the run, --out")
    try:
        return RunFolder.newest(capture_name(scene or place))
    except InputError:
        if place.is_dir():
            found = _newest_of(place)
            if found is not None:
                return found
        raise


def _newest_of(place: Path) -> RunFolder | None:
    """The last started run under runs/ that was trained on the photos of the capture at `place`."""
    capture = load_capture(place)
    runs = [RunFolder(path.parent) for path in Path("runs").glob("*/config.json")]
    for run in sorted(runs, key=lambda run: (run.path / "config.json").stat().st_mtime)[::-1]:
        with suppress(InputError):
            run.recognised(capture, place)
            return run
    return None


def load_newest(folder: RunFolder, trainer: Trainer) -> None:
    """Set `trainer` to where the run in `folder` stopped, or say that it begins at step 0.

    Raises:
        InputError: no checkpoint can be read, or they are of other settings.
    """
    if not checkpoints(folder.checkpoints):
        error_console.print(f"{folder.checkpoints}: no checkpoint yet; beginning at step 0")
        return
    try:
        used = load_checkpoint(folder.checkpoints, trainer)
        if used != checkpoints(folder.checkpoints)[-1]:
            error_console.print(f"The newest checkpoint cannot be read; going on from {used}")
    except ValueError as error:
        raise InputError(f"--resume: {error}") from error

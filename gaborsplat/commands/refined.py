"""The cameras that a run has refined, beside its splats."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..renderer.training import Trainer
from ..run_folder import RunFolder
from ..scenes import Capture, write_model


def has_refined(folder: RunFolder) -> bool:
    """Whether a run has refined poses."""
    return _refined(folder).is_dir()


def write_refined(folder: RunFolder, trainer: Trainer, capture: Capture) -> None:
    """refined/sparse/0/: a model of the capture's views, those for training with the cameras that
    were found, those for testing as they were given; nothing where poses were not refined.

    Raises:
        OSError: it cannot be written.
    """
    corrections = trainer.corrections
    if not corrections.moves:
        shutil.rmtree(_refined(folder), ignore_errors=True)
        return
    views = [
        (view.name, view.camera if view.held_out else corrections.camera_of(view))
        for view in capture.views
    ]
    model = _refined(folder) / "sparse" / "0"
    write_model(model, views, capture.points, capture.point_colors, capture.origin)


def _refined(folder: RunFolder) -> Path:
    return folder.path / "refined"

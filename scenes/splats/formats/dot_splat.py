""".splat, 32 bytes a splat, without view-dependent colour.

Format: https://github.com/antimatter15/splat.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....renderer.splats import SH_C0
from ...errors import InputError
from ..format import RawFile
from ..raw_splats import gaussians

_RECORD = np.dtype([("xyz", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])


def read_dot_splat(path: Path) -> RawFile:
    """What is in a file.

    Raises:
        InputError: it is cut short.
    """
    size = path.stat().st_size
    if size % _RECORD.itemsize:
        raise InputError(
            f"{path}: {size} bytes are not a whole number of {_RECORD.itemsize}-byte splats; "
            "the file is cut short"
        )
    records = np.fromfile(path, _RECORD)
    rgba = records["rgba"] / 255.0
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(records["scales"])
        logits = np.log(rgba[:, 3] / (1.0 - rgba[:, 3]))
    raw = gaussians(
        means=records["xyz"].astype(np.float32),
        quats=(records["quat"].astype(np.float32) - 128.0) / 128.0,
        log_scales=log_scales.astype(np.float32),
        logits=logits.astype(np.float32),
        sh=((rgba[:, None, :3] - 0.5) / SH_C0).astype(np.float32),
    )
    return RawFile(raw)


def write_dot_splat(file: RawFile, draft: Path, _: Path) -> None:
    """Writes a file."""
    raw = file.raw
    records = np.zeros(len(raw.means), _RECORD)
    records["xyz"] = raw.means
    records["scales"] = np.exp(raw.log_scales)
    records["rgba"][:, :3] = _bytes((0.5 + SH_C0 * raw.sh[:, 0]) * 255.0)
    records["rgba"][:, 3] = _bytes(255.0 / (1.0 + np.exp(-raw.logits)))
    records["quat"] = _bytes(raw.quats * 128.0 + 128.0)
    draft.write_bytes(records.tobytes())


def _bytes(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    return np.rint(values).clip(0, 255).astype(np.uint8)

""".splat, 32 bytes a splat, without view-dependent colour.

Format: https://github.com/antimatter15/splat.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import InputError
from ..format import RawFile
from ..raw_splats import as_bytes, gaussians, harmonics_of, logits_of

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
    raw = gaussians(
        means=records["xyz"].astype(np.float32),
        quats=(records["quat"].astype(np.float32) - 128.0) / 128.0,
        log_scales=log_scales.astype(np.float32),
        logits=logits_of(rgba[:, 3]),
        sh=harmonics_of(rgba[:, None, :3]),
    )
    return RawFile(raw)


def write_dot_splat(file: RawFile, draft: Path, _: Path) -> None:
    """Writes a file."""
    raw = file.raw
    records = np.zeros(len(raw.means), _RECORD)
    records["xyz"] = raw.means
    records["scales"] = np.exp(raw.log_scales)
    records["rgba"][:, :3] = as_bytes(raw.colors * 255.0)
    records["rgba"][:, 3] = as_bytes(raw.opacities * 255.0)
    records["quat"] = as_bytes(raw.quats * 128.0 + 128.0)
    draft.write_bytes(records.tobytes())

"""What gsply reads, a library of other people that shares no code with us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..raw_splats import RawSplats, gaussians


def read_through_gsply(path: Path, read: Callable[[], Any]) -> RawSplats:
    """What gsply reads from a file by `read`.

    Raises:
        InputError: it cannot.
    """
    try:
        with np.errstate(all="ignore"):  # what comes of it is looked at later
            data = read()
    except Exception as error:  # whatever a damaged file does to it
        reason = " ".join(str(error).replace(f": {path}", "").split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read: {reason}") from error
    sh0 = np.asarray(data.sh0, np.float32)[:, None]
    rest = [] if data.shN is None else [np.asarray(data.shN, np.float32)]
    return gaussians(
        means=np.asarray(data.means, np.float32),
        quats=np.asarray(data.quats, np.float32),
        log_scales=np.asarray(data.scales, np.float32),
        logits=np.asarray(data.opacities, np.float32).reshape(-1),
        sh=np.concatenate([sh0, *rest], axis=1),
    )

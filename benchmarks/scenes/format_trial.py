"""What saving or loading a large file takes, in a process that does nothing else.

    python -m benchmarks.scenes.format_trial {ours,gsply} {save,load} FILE SPLATS.pt

Prints seconds, and the most memory that the process ever had, as JSON. A few splats are saved and
loaded before: libraries compile what they need when it is first used.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gsply
import numpy as np
import torch

from gaborsplat.devices import peak_memory
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import load_splat_file, save_splats
from gaborsplat.scenes.splats.raw_splats import deactivate

GSPLY_READS = (".ply", ".compressed.ply", ".spz")
"""Endings of files that gsply reads and writes."""
_WARM = 1000


def _gsply_save(splats: Splats) -> Callable[[Path], object]:
    raw = deactivate(splats, Path())
    data = gsply.GSData.from_arrays(
        means=raw.means,
        scales=raw.log_scales,
        quats=raw.quats,
        opacities=raw.logits,
        sh0=np.ascontiguousarray(raw.sh[:, 0]),
        shN=np.ascontiguousarray(raw.sh[:, 1:]) if raw.sh.shape[1] > 1 else None,
        format="ply",
    )

    def save(path: Path) -> None:
        if path.suffix == ".spz":
            gsply.write_spz(path, data)
        else:
            gsply.plywrite(path, data, compressed=path.name.endswith(".compressed.ply"))

    return save


def _gsply_load(path: Path) -> object:
    return gsply.read_spz(path) if path.suffix == ".spz" else gsply.plyread(path)


def _saver(who: str, splats: Splats) -> Callable[[Path], object]:
    """What saves these splats; what is made ready before does not count."""
    return _gsply_save(splats) if who == "gsply" else lambda path: save_splats(splats, path)


def trial(who: str, what: str, file: Path, source: Path) -> dict[str, Any]:
    """Seconds of one call, and bytes of memory that the process had at most."""
    splats = Splats(**torch.load(source, mmap=True))
    load = _gsply_load if who == "gsply" else load_splat_file
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / file.name
        _saver(who, splats.select(torch.arange(min(_WARM, len(splats)))))(small)
        load(small)
    save = _saver(who, splats) if what == "save" else None
    started = time.perf_counter()
    if save is not None:
        save(file)
    else:
        load(file)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    """On Linux that of this program: what getrusage knows includes the parent's, before exec."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return peak_memory()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    print(json.dumps(trial(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))

"""Runs COLMAP. A process of its own, which imports nothing of this package:

    echo '{"photos": FOLDER, "names": [...], "out": FOLDER, "one_camera": true}' | python job.py

COLMAP ends its process on errors, hears no Ctrl-C while it works, and tells of its progress only in
its log, on stderr.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

EXHAUSTIVE = 400
"""Of more photos each is matched with those near it in name and at growing distances, not with
all."""
BLOCK = 8
"""Photos that are matched with as many others between two signs of progress."""


def main(job: dict[str, Any]) -> None:
    """Writes models to out/sparse/0, 1, ..."""
    import pycolmap as colmap_module

    pycolmap: Any = colmap_module
    pycolmap.logging.alsologtostderr = True
    pycolmap.set_random_seed(0)
    out, names = Path(job["out"]), job["names"]
    database = out / "database.db"
    mode = pycolmap.CameraMode.SINGLE if job["one_camera"] else pycolmap.CameraMode.AUTO
    pycolmap.extract_features(database, job["photos"], names, mode)
    if len(names) <= EXHAUSTIVE:
        pairing = pycolmap.ExhaustivePairingOptions()
        pairing.block_size = BLOCK
        pycolmap.match_exhaustive(database, pairing_options=pairing)
    else:
        pycolmap.match_sequential(database)
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = 3
    (out / "sparse").mkdir()
    pycolmap.incremental_mapping(database, job["photos"], out / "sparse", options)


if __name__ == "__main__":
    main(json.load(sys.stdin))

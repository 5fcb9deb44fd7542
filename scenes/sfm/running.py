"""COLMAP on a folder of photos: the model is kept in a cache, never among the photos."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from ...renderer.backends.cuda.compiler import CACHE_VARIABLE, cache_folder
from ...renderer.files import draft_of
from ..errors import InputError
from ..photos.decoding import focal_length, read_header
from ..photos.finding import may_hold_photos

log = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]
"""Called with what COLMAP does, how much of it is done and how much there is."""
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".ppm")
_PLACES = ("images", "input", ".")
FEATURES, MATCHES, POSES = "finding features", "matching photos", "placing photos"
_FEATURE = re.compile(r"Processed file \[(\d+)/(\d+)\]")
_BLOCK = re.compile(r"Processing block \[(\d+)/(\d+), (\d+)/\d+\]")
_SEQUENTIAL = re.compile(r"Processing image \[(\d+)/(\d+)\]")
_POSE = re.compile(r"Registering image .*num_reg_\w+=(\d+)")


def photo_folder(root: Path) -> tuple[Path, list[str]]:
    """The folder of the photos of a capture without a model, and their names; no names where there
    are no photos."""
    for place in _PLACES:
        folder = root / place
        names = _photos_in(folder)
        if names:
            return folder, names
    return root, []


def _photos_in(folder: Path) -> list[str]:
    found: list[str] = []
    for parent, children, files in os.walk(folder):
        children[:] = [child for child in children if may_hold_photos(Path(parent, child))]
        found += [
            Path(parent, file).relative_to(folder).as_posix()
            for file in files
            if file.lower().endswith(_ENDINGS) and not file.startswith(".")
        ]
    return sorted(found)


def how_to_run(root: Path, folder: Path) -> str:
    """What to type for a model of the photos in `folder`."""
    scene, photos = shlex.quote(str(root)), shlex.quote(str(folder))
    return (
        f"gaborsplat train {scene} --sfm runs COLMAP on them (pip install pycolmap), or: "
        f"colmap automatic_reconstructor --workspace_path {scene} --image_path {photos}"
    )


def kept_model(photos: Path, names: Sequence[str]) -> Path:
    """The folder in which the model of these photos, as they are now, is kept."""
    digest = hashlib.sha256()
    for name in names:
        status = (photos / name).stat()
        digest.update(f"{name}\n{status.st_size} {status.st_mtime_ns}\n".encode())
    named = os.environ.get(CACHE_VARIABLE)
    base = Path(named) if named else cache_folder().parent
    return base / "sfm" / digest.hexdigest()[:32]


def reconstruct(
    photos: Path, names: Sequence[str], folder: Path, report: Report | None = None
) -> None:
    """Makes a model of photos by COLMAP, in `folder`/sparse; nothing if there is one already.

    Raises:
        InputError: pycolmap is not installed, COLMAP fails, or cannot join the photos.
    """
    if (folder / "sparse").is_dir():
        return
    if importlib.util.find_spec("pycolmap") is None:
        raise InputError(
            f"{photos}: making a model of its {len(names)} photos needs COLMAP; "
            "pip install pycolmap"
        )
    draft = draft_of(folder)
    draft.mkdir(parents=True)
    try:
        _run(photos, names, draft, report or _Lines())
        (draft / "database.db").unlink(missing_ok=True)
        if not (folder / "sparse").is_dir():  # unless somebody else was faster
            folder.mkdir(exist_ok=True)
            os.replace(draft / "sparse", folder / "sparse")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _Lines:
    """Reports to the log, once for everything that COLMAP does."""

    def __init__(self) -> None:
        self._doing = ""

    def __call__(self, doing: str, done: int, total: int) -> None:
        if doing != self._doing:
            log.warning("note: COLMAP: %s (%s photos)", doing, total)
        self._doing = doing


def _run(photos: Path, names: Sequence[str], out: Path, report: Report) -> None:
    job = {
        "photos": str(photos.resolve()),
        "names": list(names),
        "out": str(out.resolve()),
        "one_camera": _is_one_camera(photos, names),
    }
    script = str(Path(__file__).with_name("job.py"))
    process = subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:  # it may have failed already
        json.dump(job, process.stdin)
    last: deque[str] = deque(maxlen=20)
    try:
        report(FEATURES, 0, len(names))
        for line in process.stderr:
            last.append(line.strip())
            _tell(line, len(names), report)
        failed = process.wait() != 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    if failed:
        raise InputError(f"{photos}: COLMAP failed: {_complaint(last)}")
    if not any((out / "sparse").glob("*/images.bin")):
        raise InputError(
            f"{photos}: COLMAP could not join its {len(names)} photos; each must show what others "
            "show too, from somewhere else"
        )


def _is_one_camera(photos: Path, names: Sequence[str]) -> bool:
    """Whether one lens may have taken all of them: sizes and focal lengths are alike."""
    kinds: set[object] = set()
    for name in names:
        kinds.add((read_header(photos / name).size, focal_length(photos / name)))
    return len(kinds) == 1


def _tell(line: str, photos: int, report: Report) -> None:
    """Reports what a line of COLMAP's log says, if it says something of progress."""
    if found := _FEATURE.search(line):
        report(FEATURES, int(found[1]), int(found[2]))
    elif found := _BLOCK.search(line):
        row, rows, column = (int(number) for number in found.groups())
        report(MATCHES, ((row - 1) * rows + column - 1) * photos // rows**2, photos)
    elif found := _SEQUENTIAL.search(line):
        report(MATCHES, int(found[1]), int(found[2]))
    elif found := _POSE.search(line):
        report(POSES, int(found[1]), photos)


def _complaint(lines: Sequence[str]) -> str:
    """The last of COLMAP's lines that tells of an error, without its date and thread."""
    errors = [line for line in lines if re.match(r"[EF]\d{8} |\w*(Error|Exception)\b", line)]
    said = (errors or [line for line in lines if line] or ["it said nothing"])[-1]
    return re.sub(r"^[EF]\d{8} \S+ +\d+ ", "", said)[:300]

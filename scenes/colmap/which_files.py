"""Which files of a model to read, where several say the same: .bin, .txt and .ply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from .binary import count_records
from .point_clouds import count_ply_points
from .text import count_points

_SUFFIXES = (".bin", ".txt")
_SAME_TIME = 2.0
"""Files written within so many seconds of each other were written together; some file systems
store no finer times."""
_COUNTS: dict[str, Callable[[Path], int]] = {
    ".bin": count_records,
    ".txt": count_points,
    ".ply": count_ply_points,
}


def model_suffix(folder: Path) -> str | None:
    """ ".bin" or ".txt", whichever kind of model lies in `folder`; .bin as COLMAP prefers it."""
    return next((suffix for suffix in _SUFFIXES if _has_model(folder, suffix)), None)


def newest_suffix(folder: Path, repairs: list[str]) -> str | None:
    """The same, but of two kinds that are both there the one that was written later."""
    kinds = [suffix for suffix in _SUFFIXES if _has_model(folder, suffix)]
    if len(kinds) < 2:
        return kinds[0] if kinds else None
    binary, text = (max(map(_time, _model_files(folder, suffix))) for suffix in _SUFFIXES)
    newer = text > binary + _SAME_TIME
    taken, other = (".txt", ".bin") if newer else (".bin", ".txt")
    repairs.append(
        f"{folder}: the model is there twice, as .bin and as .txt; took {taken}, "
        f"which is {'newer' if newer or binary > text + _SAME_TIME else 'as new'}; "
        f"remove the {other} files to be rid of this"
    )
    return taken


def find_points(folder: Path, suffix: str, repairs: list[str]) -> Path | None:
    """The file of points of the model with files of `suffix`, None where there is none.

    Files with equally many points are one cloud: the first of the model's own kind, .bin, .txt and
    .ply, in this order, since a PLY has no tracks. Otherwise the newest that has any.
    """
    order = dict.fromkeys((suffix, *_COUNTS))
    paths = [path for kind in order if (path := folder / f"points3D{kind}").is_file()]
    if len(paths) == 1 and paths[0].suffix != suffix:
        repairs.append(f"{folder}: took the points of {paths[0].name}; there is no other file")
    if len(paths) < 2:
        return paths[0] if paths else None
    counts = {path: _count(path, repairs) for path in paths}
    filled = [path for path in paths if counts[path]]
    if not filled or len(set(counts.values())) == 1:
        return paths[0]
    newest = max(map(_time, filled))
    taken = next(path for path in filled if _time(path) > newest - _SAME_TIME)
    others = ", ".join(f"{path.name} has {counts[path]}" for path in paths if path != taken)
    repairs.append(
        f"{folder}: took the {counts[taken]} points of {taken.name}, "
        f"{'the newest' if len(filled) > 1 else 'the only file with any'} ({others})"
    )
    return taken


def _count(path: Path, repairs: list[str]) -> int:
    """Points in a file beside which there are others: none if it is damaged."""
    try:
        return _COUNTS[path.suffix](path)
    except InputError as error:
        repairs.append(f"{error}; took it as empty")
        return 0


def _has_model(folder: Path, suffix: str) -> bool:
    return all(path.is_file() for path in _model_files(folder, suffix))


def _model_files(folder: Path, suffix: str) -> list[Path]:
    return [folder / f"{stem}{suffix}" for stem in ("cameras", "images")]


def _time(path: Path) -> float:
    return path.stat().st_mtime

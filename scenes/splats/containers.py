"""The splat file in a folder that another program wrote, or in a ZIP archive."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .. import limits
from ..errors import InputError, printable
from ..ply import read_header
from .formats.splat_ply import is_point_cloud
from .notes import ORIGIN_ENDING
from .registry import META_NAMES, format_of

log = logging.getLogger(__name__)

_ARCHIVE = ".zip"
_STEP = re.compile(r"(?<=iteration_)\d+|(?<=point_cloud_)\d+|(?<=export_)\d+")
"""Of the step in the names of 3DGS, of gsplat and of Brush."""
_CLOUDS = ("input.ply", "points3d.ply", "sparse_pc.ply")  # points that trainings begin with
_DEEP = 4  # folders in folders that are looked into
_LISTED = 5


class Opened(NamedTuple):
    """A splat file.

    Attributes:
        place: where it is at the moment.
        name: what to call it, fit for a terminal: of one in an archive, that of the archive and its
            own.
    """

    place: Path
    name: str


@contextmanager
def opened(path: Path) -> Generator[Opened, None, None]:
    """The splat file that somebody calls `path`: that, or the only one in that folder or archive,
    whose newest step is taken. What is taken is said. An archive is unpacked for as long as this is
    open.

    Raises:
        InputError: a folder or an archive has no splat file, or several.
    """
    if path.is_dir() and not any((path / name).is_file() for name in META_NAMES):
        found = splat_file_in(path)
        if found is None:
            raise InputError(f"{path}: no splat file in this folder")
        log.warning("%s: took %s", path, printable(str(found.relative_to(path))))
        yield Opened(found, printable(str(found)))
    elif path.suffix.lower() == _ARCHIVE and path.is_file():
        with TemporaryDirectory(prefix="gaborsplat-") as folder:
            unpacked, name = _unpacked(path, Path(folder))
            shown = name.removesuffix(unpacked.name)
            try:
                yield Opened(unpacked, printable(f"{path}: {name}"))
            except InputError as error:
                raise InputError(str(error).replace(f"{folder}/", f"{path}: {shown}")) from error
    else:
        yield Opened(path, printable(str(path)))


def splat_file_in(folder: Path) -> Path | None:
    """The only splat file in a folder and those in it; None if there is none.

    Raises:
        InputError: there are several, or none but checkpoints that are Python's pickles, or more
            files than are looked through.
    """
    names = sorted(_names_in(folder))
    found = _only(str(folder), [name for name in names if _has_splats(folder / name)])
    if found is None and (pickled := next((n for n in names if n.endswith(".pt")), None)):
        raise InputError(
            f"{folder}: its splats are in {pickled} only, a pickle, which can run any program when "
            "it is read; save them as PLY with the program that wrote it (gsplat: --save_ply)"
        )
    return None if found is None else folder / found


def holds_splats(folder: Path) -> bool:
    """Whether a folder has splat files, of one scene or of several, or pickles of splats."""
    try:
        return splat_file_in(folder) is not None
    except InputError:
        return True


def _names_in(folder: Path) -> Iterator[str]:
    """Paths, relative to a folder, of the files that may be splats."""
    seen = 0
    for place, folders, files in os.walk(folder):
        relative = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if not name.startswith(".")]
        if len(relative.parts) == _DEEP:
            folders.clear()
        seen += len(files) + len(folders)
        if seen > limits.FOLDER:
            raise InputError(
                f"{folder}: more than {limits.FOLDER:,} files lie in it; name the splat file itself"
            )
        for name in files:
            if _may_be_splats(name) or (relative.name == "ckpts" and name.endswith(".pt")):
                yield (relative / name).as_posix()


def _may_be_splats(name: str) -> bool:
    hidden = name.startswith(".")  # such as those that macOS puts beside others
    return not hidden and name.lower() not in _CLOUDS and format_of(Path(name)) is not None


def _has_splats(path: Path) -> bool:
    """Whether a file is not a pickle, and no PLY of points; one that is damaged may have them."""
    if path.suffix.lower() != ".ply":
        return path.suffix != ".pt"
    try:
        return not is_point_cloud(read_header(path))
    except (InputError, OSError):
        return True


def _only(place: str, names: Sequence[str]) -> str | None:
    """The only name, but for earlier steps of the same, and for what belongs to another; None
    without any.

    Raises:
        InputError: there are several.
    """
    newest: dict[str, str] = {}
    for name in sorted(
        _without_parts(names), key=lambda name: [int(step) for step in _STEP.findall(name)]
    ):
        newest[_STEP.sub("", name)] = name
    if len(newest) > 1:
        some = sorted(newest.values())[:_LISTED]
        more = f" and {len(newest) - _LISTED} more" if len(newest) > _LISTED else ""
        raise InputError(
            f"{place}: holds {len(newest)} splat files: {', '.join(some)}{more}; name one of them"
        )
    return next(iter(newest.values()), None)


def _without_parts(names: Sequence[str]) -> list[str]:
    """Names without those of SOGs below a meta.json or a lod-meta.json, which are parts of it."""
    paths = {PurePosixPath(name): name for name in names}
    tops = {
        each.parent: each
        for meta in reversed(META_NAMES)  # of both in a folder, the streamed one is it
        for each in paths
        if each.name.lower() == meta
    }
    sogs = (".sog", *META_NAMES)

    def is_part(path: PurePosixPath) -> bool:
        above = (tops[folder] for folder in path.parents if folder in tops)
        return path.name.lower().endswith(sogs) and any(top != path for top in above)

    return [name for path, name in paths.items() if not is_part(path)]


def _unpacked(path: Path, folder: Path) -> tuple[Path, str]:
    """The splat file of an archive, put into a folder with what belongs to it, and what it was
    called."""
    with limits.open_archive(path) as archive:
        every = [name for name in archive.namelist() if not name.endswith("/")]
        names = [
            name
            for name in every
            if _may_be_splats(PurePosixPath(name).name) and not name.startswith("__MACOSX")
        ]
        found = _only(str(path), names)
        if found is None:
            raise InputError(f"{path}: no splat file in this archive")
        form = format_of(Path(found))
        assert form is not None, "its name was chosen so"
        scattered = form.scattered and not found.lower().endswith(".sog")  # which has all in it
        left = limits.most_unpacked(path.stat().st_size)
        for name, place in _belonging(every, found, scattered=scattered).items():
            data = limits.read_member(path, archive, name, left)
            left -= len(data)
            target = folder / place
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            except OSError as error:
                raise InputError(f"{path}: {name} cannot be unpacked: {error.strerror}") from error
        log.warning("%s: took %s", path, printable(found))
        return folder / PurePosixPath(found).name, found


def _belonging(names: Sequence[str], found: str, *, scattered: bool) -> dict[str, PurePosixPath]:
    """The members of an archive that are to be unpacked with one of them, by their names, and where
    to, from the folder of that one: itself, its origin, and, if it is scattered, what lies beside
    it and below. Nothing is put elsewhere."""
    whole = {found, f"{found}{ORIGIN_ENDING}"}
    home = PurePosixPath(found).parent
    places = {
        name: PurePosixPath(name).relative_to(home)
        for name in names
        if name in whole or (scattered and PurePosixPath(name).is_relative_to(home))
    }
    return {name: place for name, place in places.items() if ".." not in place.parts}

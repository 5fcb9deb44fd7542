"""Which file is the photo of which name in a model.

Programs and people move photos, convert them, link to them and keep small copies and masks beside
them. A name is looked for as it stands, then by what is left of it: the file's name in any folder,
in other letter case or Unicode form, then with another ending. Whatever is not unique is no match.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .decoding import ENDINGS, read_header
from .names import parts_of, same_key

FOLDERS = ("images", "input")
"""Where a capture's photos are, below its folder."""
_SMALLER = re.compile(r"images_(\d+)")
_MASKS = re.compile(
    r"(.*[_\-. ])?(masks?|segmentations?|segs?|depths?|normals?|alphas?|mattes?)([_\-. ].*)?"
)
_NOT_LOOKED_INTO = {"__macosx", "@eadir", "thumbs", "thumbnails", "sparse", "stereo"}


@dataclass
class Found:
    """The files of the names in a model, as far as there are any.

    Attributes:
        folder: where they were looked for.
        paths: by name.
        reasons: why a name has no file, by name.
        notes: how they were found, where it was not as they stand.
        masks: a folder of masks, which are not looked at.
    """

    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    masks: Path | None = None


def find_photos(
    homes: Sequence[Path],
    names: Sequence[str],
    max_size: int | None,
    *,
    beside: Sequence[Path] = (),
) -> Found:
    """The photos of a model.

    They lie in one place: images/ or input/ of a folder, or what there holds names as they stand;
    or, if less than half of them are there, in an images_2/ and the like, or anywhere below. The
    first place with half of them is taken, or else the one with most.

    Args:
        homes: folders of the capture, the model's own first.
        names: in the model.
        max_size: longest side that will be used [px]: of smaller copies, the smallest that has it.
        beside: folders whose images/ may be meant, but nothing else in them.
    """
    found: list[Found] = []
    for place in _places(homes, names, max_size, beside):
        found.append(place)
        if 2 * len(place.paths) >= len(names):
            break
    return max(found, key=lambda each: len(each.paths))


def _places(
    homes: Sequence[Path], names: Sequence[str], max_size: int | None, beside: Sequence[Path]
) -> Iterator[Found]:
    for home in (*homes, *beside):
        folders = [home / name for name in FOLDERS if (home / name).is_dir()]
        if folders:
            yield _search(folders[0], folders, names, exactly=[*folders, home])
    for home in homes:
        folder = _smaller(home, names, max_size)
        if folder is not None:
            found = _search(folder, [folder], names)
            found.notes.append(f"{folder}: took these smaller photos; {home} has no others")
            yield found
    for home in homes:
        yield _search(home, [home], names)


def _search(
    folder: Path, folders: Sequence[Path], names: Sequence[str], exactly: Sequence[Path] = ()
) -> Found:
    """Looks in `folders`, and for names as they stand in those of `exactly` too."""
    found = Found(folder)
    for name in names:
        path = _as_it_stands(name, exactly or folders)
        if path is not None:
            found.paths[name] = path
    rest = [name for name in names if name not in found.paths]
    if rest:
        files = _Files(folders)
        found.masks = files.masks
        _match(rest, files, found)
    return found


def _as_it_stands(name: str, folders: Sequence[Path]) -> Path | None:
    # Models made on Windows may separate sub-folders with backslashes.
    paths = (folder / each for folder in folders for each in (name, name.replace("\\", "/")))
    # os.path: a name may hold what no path can.
    return next((path for path in paths if os.path.isfile(path)), None)


def _smaller(home: Path, names: Sequence[str], max_size: int | None) -> Path | None:
    """The folder images_2 or the like with the smallest photos that are large enough, or else with
    the largest."""
    sizes: list[tuple[int, Path]] = []
    for folder in sorted(home.iterdir() if home.is_dir() else ()):
        if _SMALLER.fullmatch(folder.name) and folder.is_dir():
            paths = _search(folder, [folder], names).paths.values()
            side = next((side for side in map(_longest_side, paths) if side), None)
            sizes += [] if side is None else [(side, folder)]
    enough = [each for each in sizes if max_size is not None and each[0] >= max_size]
    if not sizes:
        return None
    return (min(enough) if enough else max(sizes))[1]


def _longest_side(path: Path) -> int | None:
    try:
        return max(read_header(path).size)
    except InputError:
        return None


def may_hold_photos(path: Path) -> bool:
    """Whether a folder is looked into: not masks, thumbnails, runs and other captures."""
    is_run = (path / "config.json").is_file() and (path / "log.jsonl").is_file()
    is_other = path.name.startswith(".") or same_key(path.name) in _NOT_LOOKED_INTO
    return not (is_other or holds_masks(path) or is_run or (path / "sparse").is_dir())


def holds_masks(path: Path) -> bool:
    """Whether a folder is called as those of masks are, or of depth and the like."""
    return _MASKS.fullmatch(same_key(path.name)) is not None


class _Files:
    """The files below some folders, by what a name may have left of it. Links are followed, each
    folder once; masks, thumbnails, runs and other captures are left out."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.masks: Path | None = None
        self._seen: set[str] = set()
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for folder in folders:
            self._walk(folder)

    def candidates(self, name: str) -> tuple[list[Path], str]:
        """Files that may be the photo `name`, the likeliest alone if there is one; and what of the
        name they share."""
        file = parts_of(name)[-1:]
        if not file:
            return [], ""
        same = self._by_name.get(same_key(file[0]), [])
        if same:
            return _likeliest(name, same), "by their file name alone"
        return _likeliest(name, self._by_stem.get(_stem(file[0]), [])), "with another ending"

    def _walk(self, top: Path) -> None:
        for parent, folders, files in os.walk(top, followlinks=True):
            real = os.path.realpath(parent)
            if real in self._seen:
                folders.clear()
                continue
            self._seen.add(real)
            folders[:] = sorted(
                each for each in folders if self._is_looked_into(Path(parent, each))
            )
            for file in sorted(files):
                if not file.startswith("."):
                    self._add(Path(parent, file))

    def _add(self, path: Path) -> None:
        self._by_name[same_key(path.name)].append(path)
        if path.suffix.lower() in ENDINGS:
            self._by_stem[_stem(path.name)].append(path)

    def _is_looked_into(self, path: Path) -> bool:
        if holds_masks(path):
            self.masks = self.masks or path
        return may_hold_photos(path)


def _stem(file: str) -> str:
    return same_key(Path(file).stem)


def _likeliest(name: str, paths: Sequence[Path]) -> list[Path]:
    """Those of `paths` that share the most folders with `name`, and then most of its spelling."""
    wanted = parts_of(name)

    def likeness(path: Path) -> tuple[int, bool]:
        shared = 0
        for ours, theirs in zip(wanted[-2::-1], path.parts[-2::-1], strict=False):
            if same_key(ours) != same_key(theirs):
                break
            shared += 1
        return shared, path.name == wanted[-1]

    best = max(map(likeness, paths), default=None)
    return [path for path in paths if likeness(path) == best]


def _match(names: Sequence[str], files: _Files, found: Found) -> None:
    """Adds to `found` what is unique, for names that are not there as they stand."""
    taken = {os.path.realpath(path) for path in found.paths.values()}
    wanted: dict[Path, list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        paths, how = files.candidates(name)
        # By what they lead to: links to the same file are one.
        real = {os.path.realpath(path): path for path in paths}
        free = [path for target, path in real.items() if target not in taken]
        if len(free) == 1:
            wanted[free[0]].append((name, how))
        elif free:
            found.reasons[name] = (
                f"found twice, as {free[0]} and {free[1]}; say with --images which folder is meant"
            )
        else:
            found.reasons[name] = f"no such photo in {found.folder}"
    groups: dict[str, list[str]] = defaultdict(list)
    for path, claims in wanted.items():
        if len(claims) > 1:
            for name, _ in claims:
                found.reasons[name] = f"{path} would be the photo of {len(claims)} names"
            continue
        name, how = claims[0]
        found.paths[name] = path
        groups[how].append(name)
    for how, group in groups.items():
        first = group[0]
        found.notes.append(
            f"{found.folder}: found {len(group)} photos {how} "
            f"(first {first} as {found.paths[first]})"
        )

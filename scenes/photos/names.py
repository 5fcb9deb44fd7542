"""Names of views: what a model calls its photos, made safe to write files by.

A model may come from anywhere, and programs write what they like into it: absolute names, names
with "..", names of another system. A view's name is also that of its pictures in a run folder, on
any system, so each gets one that stays below a folder, that every file system takes and that no
other view has. Names that are harmless stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

ENDING = ".png"
"""Of the pictures that are named after a view; no name with it is another's folder."""
_LONGEST_PART = 180  # bytes; file systems take 255, and drafts and endings add some
_LONGEST_NAME = 400
_FORBIDDEN = re.compile(r'[<>:"|?*]')  # in names on Windows
_DRIVE = re.compile(r"^[A-Za-z]:")
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])", re.IGNORECASE)
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # Unicode's control characters, surrogates, separators of lines


def safe_names(names: Sequence[str]) -> list[str]:
    """A relative path for each name, with forward slashes, below the folder that it is put in.

    No two are the same file, also where letter case and Unicode form make no difference, and none
    with `ENDING` is the folder of another. Absolute names lose the folders that all of them share.
    """
    shared = _shared([_parts(name)[:-1] for name in names if _is_absolute(name)])
    taken = _Taken()
    safe: dict[str, str] = {}
    # Names that need no change come first, and keep what others would be changed to.
    cleaned = {name: _clean(name, shared if _is_absolute(name) else 0) for name in names}
    for name in sorted(cleaned, key=lambda name: (cleaned[name] != name, name)):
        safe[name] = next(each for each in _choices(name, cleaned[name]) if taken.take(each))
    return [safe[name] for name in names]


def parts_of(name: str) -> list[str]:
    """The folders and the file of a name, of whatever system, without "." and ".."."""
    return _below(_parts(name))


def is_hidden(name: str) -> bool:
    """Whether it lies in a hidden folder, where programs keep copies of their own."""
    return any(part.startswith(".") for part in parts_of(name)[:-1])


def same_key(text: str) -> str:
    """What is equal for names that a file system may take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _parts(name: str) -> list[str]:
    return _DRIVE.sub("", name, count=1).replace("\\", "/").split("/")


def _is_absolute(name: str) -> bool:
    return name.startswith(("/", "\\")) or _DRIVE.match(name) is not None


def _shared(folders: Sequence[Sequence[str]]) -> int:
    """How many folders all have in common at the front."""
    columns = zip(*folders, strict=False)
    equal = (len(set(column)) == 1 for column in columns)
    return next((i for i, same in enumerate(equal) if not same), min(map(len, folders), default=0))


def _clean(name: str, skipped: int) -> str:
    return "/".join(map(_clean_part, _below(_parts(name)[skipped:]))) or "photo"


def _below(parts: Sequence[str]) -> list[str]:
    return [part for part in parts if part not in ("", ".", "..")]


def _clean_part(part: str) -> str:
    seen = "".join("_" if unicodedata.category(c) in _UNSEEN else c for c in part)
    seen = _FORBIDDEN.sub("_", seen)
    kept = seen.rstrip(" .")  # which Windows drops
    seen = kept + "_" * (len(seen) - len(kept))
    if _DEVICE.fullmatch(seen.split(".")[0].rstrip()):
        seen = f"_{seen}"
    return seen if len(seen.encode()) <= _LONGEST_PART else _with_mark(seen, part)


def _choices(name: str, cleaned: str) -> Iterator[str]:
    """`cleaned`, then others for a name that is taken or too long."""
    *folders, file = cleaned.split("/")
    if len(cleaned.encode()) <= _LONGEST_NAME:
        yield cleaned
        yield "/".join([*folders, _with_mark(file, name)])
    attempt = 0
    while True:
        yield _with_mark(file, f"{name}\0{attempt}" if attempt else name)
        attempt += 1


def _with_mark(part: str, name: str) -> str:
    """`part`, cut if it is long, with a mark of the whole `name` before its ending."""
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, dot, ending = part.rpartition(".")
    if not stem or len(ending.encode()) > 10:
        stem, dot, ending = part, "", ""
    room = _LONGEST_PART - len(f"-{mark}{dot}{ending}".encode())
    return f"{stem.encode()[:room].decode(errors='ignore')}-{mark}{dot}{ending}"


class _Taken:
    """Paths that views have, and the folders that these lie in."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, name: str) -> bool:
        """Whether `name` is free; it is taken then."""
        file = same_key(name + ENDING)
        parts = file.split("/")
        folders = {"/".join(parts[:k]) for k in range(1, len(parts))}
        if file in self._files or file in self._folders or folders & self._files:
            return False
        self._files.add(file)
        self._folders |= folders
        return True

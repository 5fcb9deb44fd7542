"""Folders of pictures, which nobody ever sees half of."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from ...scenes import InputError


def write_folder(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write all `files`, names relative to `folder` and contents, or nothing.

    Raises:
        InputError: there is something at `folder` already.
        OSError: it cannot be written; named is what was to be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is not an empty folder; choose another --output")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _named(folder):
        home = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.")
    with home as unfinished:
        for name, content in files:
            with _named(folder / name):
                draft = Path(unfinished) / name
                draft.parent.mkdir(exist_ok=True)
                draft.write_bytes(content)
        Path(unfinished).chmod(0o755)
        finished = Path(unfinished).rename(folder)
        finished.with_name(Path(unfinished).name).mkdir()  # for the clean-up to remove


@contextmanager
def _named(path: Path) -> Generator[None, None, None]:
    """What the system says of a draft is said of what becomes of it."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise

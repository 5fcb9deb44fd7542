"""Files that nobody ever sees half of, and folders that one training at a time writes to."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"
"""What a folder holds while a training writes there: who it is."""
_DRAFT = re.compile(
    r"\..+\.(?P<process>\d+)-[0-9a-f]{4}\.part"
    r"|\..+\.[0-9a-f]{8}\.part|\.sfm\.(?P<model>\d+)\.part|step-\d+\.pt\.(?P<step>\d+)\.tmp"
)
"""Names of `draft_of`, and those that earlier versions gave."""


class FolderInUse(ValueError):
    """Another process writes there. One line, as people are told."""


def draft_of(path: Path) -> Path:
    """A name beside `path`, of this process, for what is to become it."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:4]}.part")


@contextmanager
def replacing(path: Path) -> Generator[Path, None, None]:
    """A path to write a file to, moved over `path` when all went well and removed when it did not.
    After that it outlives a loss of power. The folder of `path` is made if need be.

    Raises:
        OSError: it cannot be written; named is `path`, not the draft.
    """
    draft = draft_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        _to_disk(draft)
        os.replace(draft, path)
        _to_disk(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, draft, str(draft)):
            raise  # what it says is somebody's own, or of another file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if path.is_file():
            raise OSError(error.errno, error.strerror, str(path)) from error
        # Some file systems do not know it for folders.
    finally:
        os.close(handle)


def remove_orphans(folder: Path) -> None:
    """Remove the drafts in and below `folder` whose processes have died."""
    for path in folder.rglob("*"):
        match = _DRAFT.fullmatch(path.name)
        if match is None:
            continue
        process = next((int(each) for each in match.groups() if each), None)
        if process is not None and _lives(process):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _lives(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # of somebody else
    return True


@contextmanager
def claimed(folder: Path) -> Generator[None, None, None]:
    """While it lasts, no other process can claim `folder`. It is made if need be, and removed again
    if it is still empty then. The claim of a process ends with it, however it ends.

    Raises:
        FolderInUse: another process, which is named, has claimed it.
    """
    made = not folder.exists()
    try:
        lock = _lock(folder)
        try:
            yield
        finally:
            # Before it is let go: whoever waits for it would hold a file that is not there.
            with suppress(OSError):
                (folder / LOCK).unlink()
            os.close(lock)
    finally:
        if made:
            with suppress(OSError):
                folder.rmdir()


def _lock(folder: Path) -> int:
    """The open lock of a folder, with our name in it."""
    path = folder / LOCK
    for _ in range(100):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # its last owner has just removed the folder
        try:
            _take(handle, folder)
            # It may be one that its last owner has just removed.
            if _is_at(handle, path):
                owner = {"process": os.getpid(), "host": socket.gethostname()}
                owner["since"] = time.strftime("%Y-%m-%d %H:%M:%S")
                with suppress(OSError):  # a full disk; it is locked all the same
                    os.ftruncate(handle, 0)
                    os.pwrite(handle, json.dumps(owner).encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise OSError(f"{path}: cannot be locked")


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _take(handle: int, folder: Path) -> None:
    """Lock an open file.

    Raises:
        FolderInUse: another process has.
    """
    taken = False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        taken = True
    except OSError:  # a file system without locks: by what the file says
        pass
    else:
        return
    owner = _owner(handle)
    here = owner.get("host") == socket.gethostname()
    process = owner.get("process")
    if taken or (here and isinstance(process, int) and _lives(process)):
        known = f"process {process} on {owner['host']}" if owner else "another process"
        since = f" since {owner['since']}" if "since" in owner else ""
        raise FolderInUse(
            f"{folder}: {known} trains there{since}; end it, or choose another folder"
        )


def _owner(handle: int) -> dict[str, object]:
    """What the lock says; nothing where it is half written."""
    try:
        found = json.loads(os.pread(handle, 1000, 0))
        return dict(found) if {"process", "host"} <= set(found) else {}
    except (OSError, ValueError, TypeError):
        return {}

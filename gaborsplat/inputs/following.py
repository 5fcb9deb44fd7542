"""Files on disk that are shown, and shown anew when they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..console import error_console
from ..scenes import InputError, one_line
from ..viewer import SceneSource
from .loading import LoadedScene

INTERVAL = 1.0
"""Seconds between two looks at the files."""

PATIENCE = 5
"""Looks after which files are read although they change from one to the next: a fast training
replaces its own at least as often."""

Version = Sequence[tuple[Path, int, int, int]] | None
"""Inode, time [ns] and size [bytes] of each file; None where they cannot be looked at. A file that
is replaced within one tick of the file system's clock has another inode."""


class Followed:
    """The scene in some files, published in `source` anew whenever they have changed.

    Attributes:
        source: the newest version.
        scene: the same, as it was loaded, with what it says of how it is to be shown.
    """

    def __init__(
        self, files: Callable[[], Sequence[Path]], load: Callable[[], LoadedScene]
    ) -> None:
        """`files` says which they are at the moment, `load` reads them. Raises as `load`."""
        self._files, self._load = files, load
        self._last = self._taken = self._version()  # before the files are read
        self._restless = 0  # looks since they stood still
        self.scene = load()
        self.source = SceneSource(self.scene.splats, self.scene.settings)

    def look(self) -> None:
        """To be called every `INTERVAL`: files that have changed, but not since the last look, are
        read again. Where that fails the scene stays what it was, which is told once."""
        version, before = self._version(), self._last
        self._last = version
        still = version == before
        self._restless = 0 if still else self._restless + 1
        if version == self._taken or not (still or self._restless >= PATIENCE):
            return
        self._restless = 0
        try:
            scene = self._load()
        except Exception as error:
            # Whatever is wrong with this version, such as its size, the next one may be right.
            if still:
                self._taken = version
                error_console.print(f"note: showing what was there before: {one_line(error)}")
        else:
            self._taken, self.scene = version, scene
            self.source.publish(scene.splats, scene.settings)

    def _version(self) -> Version:
        try:
            found = [(path, path.stat()) for path in self._files()]
        except (InputError, OSError):
            return None
        return [(path, stat.st_ino, stat.st_mtime_ns, stat.st_size) for path, stat in found]

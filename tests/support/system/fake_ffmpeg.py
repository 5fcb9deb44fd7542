"""An ffmpeg that does what a test wants."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FFMPEG = """#!{python}
import sys
sys.path.insert(0, "")
if "-encoders" in sys.argv:
    print({encoders!r})
    sys.exit()
{act}
"""
WRITE = """
with open(sys.argv[-1], "wb") as film:
    film.write(repr(sys.argv[1:]).encode() + b"\\n" + sys.stdin.buffer.read())
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, act: str, encoders: str) -> None:
    """Put an ffmpeg of our own on the path, and no other."""
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(FFMPEG.format(python=sys.executable, encoders=encoders, act=act))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))

"""Videos, with an ffmpeg and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from fake_ffmpeg import WRITE, install

from gaborsplat.viewer.picture.video import write_video

SIZE = (64, 48)
Picture = npt.NDArray[np.uint8]

FAIL_AT_ONCE = """
sys.stdin.close()
sys.stderr.write("\\n  [libx264] no such luck\\nmore\\n")
sys.exit(7)
"""
FAIL_AT_THE_END = """
open(sys.argv[-1], "wb").write(sys.stdin.buffer.read())
sys.exit("disk full")
"""


def frames(count: int = 6, size: tuple[int, int] = SIZE) -> Iterator[Picture]:
    """A blue picture that turns green."""
    for k in range(count):
        yield np.full((size[1], size[0], 3), (200, 40 * k, 0), np.uint8)


def check_opencv_wrote(film: Path) -> None:
    reader = cv2.VideoCapture(str(film))
    seen = []
    while True:
        there, picture = reader.read()
        if not there:
            break
        seen.append(picture)
    assert reader.get(cv2.CAP_PROP_FPS) == 25
    reader.release()
    assert [picture.shape for picture in seen] == [(48, 64, 3)] * 6
    for k, picture in enumerate(seen):
        # What the codec loses of a plain colour.
        np.testing.assert_allclose(picture[24, 32], (200, 40 * k, 0), atol=12)


def test_without_an_ffmpeg_opencv_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    film = tmp_path / "new" / "film.mp4"
    write_video(film, frames(), SIZE, 25)
    check_opencv_wrote(film)
    assert list(film.parent.iterdir()) == [film]


def test_frames_that_opencv_loses_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cv2.VideoWriter

    class Forgetful:
        """As on a disk that is full after four frames."""

        fourcc = staticmethod(real.fourcc)

        def __init__(self, *options: Any) -> None:
            self._writer = real(*options)
            self._written = 0
            self.isOpened, self.release = self._writer.isOpened, self._writer.release

        def write(self, image: Picture) -> None:
            self._written += 1
            if self._written <= 4:
                self._writer.write(image)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cv2, "VideoWriter", Forgetful)
    with pytest.raises(OSError, match="kept 4 of 6 frames"):
        write_video(tmp_path / "film.mp4", frames(), SIZE, 25)
    assert not list(tmp_path.iterdir())


def test_an_ffmpeg_without_h264_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, WRITE, encoders=" V....D mpeg4")
    film = tmp_path / "film.mp4"
    write_video(film, frames(), SIZE, 25)
    check_opencv_wrote(film)


def test_an_ffmpeg_that_does_not_start_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, WRITE, encoders=" V....D libx264")
    (tmp_path / "bin" / "ffmpeg").write_bytes(b"\x7fELF for another machine")
    film = tmp_path / "film.mp4"
    write_video(film, frames(), SIZE, 25)
    check_opencv_wrote(film)


def test_an_ffmpeg_gets_every_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, WRITE, encoders=" V....D libx264")
    film = tmp_path / "film.mp4"
    # Views with other strides, as the renderer's channels turned around.
    flipped = (picture[..., ::-1] for picture in frames())
    write_video(film, flipped, SIZE, 25)
    said, raw = film.read_bytes().split(b"\n", 1)
    assert raw == b"".join(picture[..., ::-1].tobytes() for picture in frames())
    for words in ("'-s', '64x48'", "'-r', '25'", "'libx264'", "'yuv420p'", "'+faststart'"):
        assert words in said.decode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "film.mp4"]


@pytest.mark.parametrize(
    ("act", "reason"),
    [(FAIL_AT_ONCE, r"\[libx264\] no such luck$"), (FAIL_AT_THE_END, "disk full$")],
)
def test_a_failing_ffmpeg_is_told_in_one_line(
    act: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, act, encoders=" V....D libx264")
    film = tmp_path / "film.mp4"
    film.write_text("the old one")
    with pytest.raises(OSError, match=r"film\.mp4: ffmpeg cannot write it: .*" + reason):
        write_video(film, frames(300), SIZE, 25)
    assert film.read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "film.mp4"]


@pytest.mark.parametrize("with_ffmpeg", [False, True])
def test_a_frame_that_fails_leaves_nothing(
    with_ffmpeg: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, WRITE, encoders="libx264" if with_ffmpeg else "")

    def failing() -> Iterator[Picture]:
        yield from frames(2)
        raise RuntimeError("no more light")

    with pytest.raises(RuntimeError, match="no more light"):
        write_video(tmp_path / "film.mp4", failing(), SIZE, 25)
    with pytest.raises(ValueError, match=r"\(49, 64, 3\)"):
        write_video(tmp_path / "film.mp4", frames(size=(64, 49)), SIZE, 25)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]

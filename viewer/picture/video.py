"""Encoding pictures as an MP4 video."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from ...renderer.process import ForAll
from ...scenes import replacing
from .paint import Picture

ENCODER = "libx264"

_TRIAL = 1 << 20
"""Bytes that a disk with room has room for."""
_SILENT = 0
"""OpenCV's level of log at which it says nothing."""

QUALITY = 18
"""Constant rate factor of H.264; at this one losses are hardly visible."""


def write_video(path: Path, frames: Iterable[Picture], size: tuple[int, int], fps: int) -> None:
    """Encode `frames` ([H, W, 3] BGR) of an even `size` (width, height) to `path`, atomically.

    ffmpeg encodes H.264, which browsers play. Without an ffmpeg that can, OpenCV encodes the older
    MPEG-4 part 2, which video players play.

    Raises:
        OSError: it cannot be written, with the system's reason where there is one.
        ValueError: a frame is not of `size`.
    """
    with replacing(path) as draft:
        ffmpeg = _ffmpeg()
        try:
            if ffmpeg is None:
                _write_by_opencv(path, draft, _checked(frames, size), size, fps)
            else:
                command = [ffmpeg, *_options(size, fps), str(draft)]
                _write_by_ffmpeg(path, command, _checked(frames, size))
        except _Failed as failure:
            _check_room(draft)
            raise OSError(str(failure)) from None


class _Failed(Exception):
    """An encoder cannot write, for what it takes to be the reason. One line."""


def _check_room(draft: Path) -> None:
    """Write a bit beside what an encoder could not go on with, which is still there: encoders say
    little of why, and the system says it again. Raises OSError."""
    trial = draft.with_suffix(".trial")
    try:
        trial.write_bytes(bytes(_TRIAL))
    except OSError as error:
        error.filename = str(draft)  # whatever it is called
        raise
    finally:
        trial.unlink(missing_ok=True)


def _checked(frames: Iterable[Picture], size: tuple[int, int]) -> Generator[Picture, None, None]:
    """The frames, with their sizes checked: another one would shear the video, or be dropped."""
    wanted = (size[1], size[0], 3)
    for frame in frames:
        if frame.shape != wanted:
            raise ValueError(f"a frame is {frame.shape}, not {wanted}")
        yield frame


def _ffmpeg() -> str | None:
    """Path of an ffmpeg that can encode H.264: some are built without, some for other machines."""
    program = shutil.which("ffmpeg")
    if program is None:
        return None
    command = [program, "-hide_banner", "-encoders"]
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return None
    return program if ENCODER.encode() in asked.stdout else None


def _options(size: tuple[int, int], fps: int) -> list[str]:
    raw = f"-f rawvideo -pix_fmt bgr24 -s {size[0]}x{size[1]} -r {fps} -i -"
    # Converted and tagged: each player guesses its own colours for untagged values.
    color = "-vf scale=out_color_matrix=bt709:out_range=tv -pix_fmt yuv420p -color_range tv"
    color += " -colorspace bt709 -color_primaries bt709 -color_trc bt709"
    # The index in front lets a browser play before it has the whole file.
    coded = f"-c:v {ENCODER} -crf {QUALITY} -movflags +faststart -f mp4"
    return f"-hide_banner -loglevel error -y {raw} {color} {coded}".split()


def _write_by_ffmpeg(path: Path, command: list[str], frames: Iterable[Picture]) -> None:
    # A file, because a full pipe would block ffmpeg.
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints)
        pipe = process.stdin
        assert pipe is not None
        try:
            fed = _feed(pipe, frames)
            if process.wait() != 0 or not fed:
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").split("\n")
                reason = next(filter(None, map(str.strip, said)), f"it ended {process.returncode}")
                raise _Failed(f"{path}: ffmpeg cannot write it: {reason}")
        finally:
            process.kill()  # nothing happens if it has ended
            with suppress(OSError):
                pipe.close()
            process.wait()


def _feed(pipe: IO[bytes], frames: Iterable[Picture]) -> bool:
    """Write `frames` to `pipe` and close it; False if nobody reads it any more."""
    for frame in frames:
        try:
            pipe.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            return False
    try:
        pipe.close()
    except BrokenPipeError:
        return False
    return True


def _write_by_opencv(
    path: Path, draft: Path, frames: Iterable[Picture], size: tuple[int, int], fps: int
) -> None:
    film = draft.with_suffix(".mp4")  # OpenCV picks the container by the ending
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    if not writer.isOpened():
        raise _Failed(f"{path}: neither ffmpeg nor OpenCV can write mp4 here")
    try:
        given = 0
        for frame in frames:
            with _quiet:
                writer.write(frame)
            given += 1
        with _quiet:
            writer.release()
        kept = _frames_in(film)
        if kept != given:  # OpenCV says nothing of a full disk
            _check_room(draft)
            raise _Failed(f"{path}: OpenCV kept {kept} of {given} frames")
        film.replace(draft)
    finally:
        with _quiet:
            writer.release()
        film.unlink(missing_ok=True)


@contextmanager
def _quiet_opencv() -> Generator[None, None, None]:
    """OpenCV writes a line of its own to the terminal for every frame that it loses."""
    before = cv2.utils.logging.setLogLevel(_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


_quiet = ForAll(_quiet_opencv)


def _has_index(film: Path) -> bool:
    """Whether a file is an MP4 that was finished: what is not, OpenCV tells the terminal."""
    try:
        with film.open("rb") as file:
            while len(head := file.read(8)) == 8:
                size, kind = struct.unpack(">I4s", head)
                if kind == b"moov":
                    return True
                if size == 1:  # the next 8 bytes have it
                    (size,) = struct.unpack(">Q", file.read(8))
                    file.seek(-8, os.SEEK_CUR)
                if size < 8:  # to the end, or nonsense
                    return False
                file.seek(size - 8, os.SEEK_CUR)
    except (OSError, struct.error):
        pass
    return False


def _frames_in(film: Path) -> int:
    """Number of frames that a video file states; 0 if it is no video."""
    if not _has_index(film):
        return 0
    reader = cv2.VideoCapture(str(film))
    count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) if reader.isOpened() else 0
    reader.release()
    return count

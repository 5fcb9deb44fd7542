"""OpenCV's decoders, without what they write to stderr."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import cv2
import numpy as np
from cv2.utils import logging
from numpy.typing import NDArray

_SILENT = 0
_lock = threading.Lock()
_decoding = 0
_level = _SILENT


def decoded(data: bytes, flags: int) -> NDArray[np.generic] | None:
    """[H, W] or [H, W, C] BGR of a picture in any format, None where it cannot be decoded.

    The decoder makes room for what the header says: look at that first.
    """
    if not data:
        return None
    with _silence():
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except (cv2.error, MemoryError):
            return None


@contextmanager
def _silence() -> Generator[None, None, None]:
    """No log of OpenCV's in the meantime, whose level is one for all threads."""
    global _decoding, _level
    with _lock:
        if not _decoding:
            _level = logging.getLogLevel()
            logging.setLogLevel(_SILENT)
        _decoding += 1
    try:
        yield
    finally:
        with _lock:
            _decoding -= 1
            if not _decoding:
                logging.setLogLevel(_level)

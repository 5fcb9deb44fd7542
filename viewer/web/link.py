"""The picture stream to a browser: encoded and numbered pictures, which its page acknowledges.

The page is viser's, with page.js in it where that fits. All that is not in viser's public interface
is here and in page.js; where it is missing, pictures go viser's own way, unacknowledged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import viser

from ..picture.paint import Picture
from ..reports import Reports
from ..values import is_vector

log = logging.getLogger(__name__)

Shown = Callable[[int, float, float], None]
"""Takes an acknowledgement: a picture's number, seconds in the page and seconds of decoding."""

Depth = npt.NDArray[np.float32]  # [H, W]

DEPTH_UNIT = 1e-5
"""Step in which viser's page reads depths."""

FARTHEST = (2**24 - 1) * DEPTH_UNIT
"""Largest depth, in the 24 bits that viser's page reads."""


class Link:
    """Picture stream to one browser."""

    def __init__(self, client: viser.ClientHandle, on_shown: Shown, reports: Reports) -> None:
        """`on_shown` gets every acknowledgement, on the server's event loop."""
        self._client = client
        # A page can answer by setting the value of a panel element.
        answer = client.gui.add_vector3("Shown", (0.0, 0.0, 0.0), visible=False)
        self._mark = getattr(getattr(answer, "_impl", None), "uuid", None)
        self._line: Any = getattr(client.scene, "_websock_interface", None)
        fits = self._mark is not None and self._line is not None
        self._message = _picture_message() if fits else None
        if self._message is None:
            own = f"viser {viser.__version__}: pictures go its own way, at half the rate"
            reports.warn("link", own)

        @answer.on_update
        async def _(_: Any) -> None:
            told = answer.value  # a page may send anything
            if is_vector(told, 3) and min(told) >= 0:
                on_shown(int(told[0]), told[1], told[2])

    def send(self, picture: Picture, depth: Depth | None, number: int, quality: int) -> None:
        """Encode `picture` ([H, W, 3] RGB) as a JPEG and send it in place of one that still waits.

        Args:
            picture: [H, W, 3] RGB.
            depth: [H, W] depth beyond which the picture occludes the page's own objects, if any.
            number: number of the picture, for its acknowledgement.
            quality: JPEG quality.
        """
        if self._message is None:
            self._client.scene.set_background_image(
                picture, format="jpeg", jpeg_quality=quality, depth=depth
            )
        else:
            jpeg = _encoded(
                ".jpg",
                cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
                [cv2.IMWRITE_JPEG_QUALITY, quality],
            )
            packed = None
            if depth is not None:
                packed = _encoded(".png", pack_depth(depth), [cv2.IMWRITE_PNG_COMPRESSION, 1])
            message = self._message(
                format="jpeg",
                rgb_data=_marked(jpeg, f"gaborsplat:{self._mark}:{number}:"),
                depth_data=packed,
            )
            self._line.queue_message(message)
        self._client.flush()


def page_with_script() -> bytes | None:
    """viser's page with page.js in it; None, and a warning, where it does not fit."""
    source = Path(viser.__file__).parent / "client" / "build" / "index.html"
    try:
        html = source.read_text(encoding="utf-8")
    except OSError as error:
        log.warning("viser's own page is shown, at half the rate: %s", error)
        return None
    if html.count("<head>") != 1:
        log.warning("viser %s: its own page is shown, at half the rate", viser.__version__)
        return None
    script = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    return html.replace("<head>", f"<head><script>{script}</script>").encode()


def pack_depth(depth: Depth) -> npt.NDArray[np.uint8]:
    """[H, W, 3] bytes of `depth` in 24 bits, lowest first; NaN becomes FARTHEST."""
    # In single precision the farthest step would be rounded up, and become the nearest one.
    within = np.clip(np.nan_to_num(depth.astype(np.float64), nan=FARTHEST), 0, FARTHEST)
    steps = np.rint(within / DEPTH_UNIT).astype("<u4")
    return np.ascontiguousarray(steps[..., None].view(np.uint8)[..., :3])


def _encoded(suffix: str, image: Any, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise RuntimeError(f"OpenCV cannot write {suffix} pictures")
    return data.tobytes()


def _marked(jpeg: bytes, text: str) -> bytes:
    """The JPEG with the comment `text`, right after its first two bytes."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def _picture_message() -> Any:
    """viser's message class for a picture; None if it lacks an expected field."""
    try:
        from viser._messages import BackgroundImageMessage as Message
    except ImportError:
        return None
    known = {"format", "rgb_data", "depth_data"} <= {each.name for each in fields(Message)}
    return Message if known else None

"""Pictures that show what is wrong with a rendered view."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from torch import Tensor

ERROR_SHOWN = 0.25
"""Mean absolute error over the channels that is drawn in the brightest colour."""


def comparison(image: Tensor, photo: Tensor, mask: Tensor | None) -> bytes:
    """A PNG of rendered | photograph | error, from `image` and `photo` [H, W, 3] in [0, 1]; where
    `mask` [H, W] is False there is no error.

    Raises:
        ValueError: they cannot be written as PNG.
    """
    error = (image - photo).abs().mean(dim=-1) / ERROR_SHOWN
    error = error if mask is None else error * mask
    heat = cv2.applyColorMap(_bytes(error), cv2.COLORMAP_INFERNO)
    pictures = [cv2.cvtColor(_bytes(each), cv2.COLOR_RGB2BGR) for each in (image, photo)]
    good, png = cv2.imencode(".png", np.hstack([*pictures, heat]))
    if not good:
        raise ValueError(f"pictures of {tuple(image.shape)} cannot be written as PNG")
    return png.tobytes()


def _bytes(values: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (values.clamp(0, 1) * 255 + 0.5).byte().numpy()

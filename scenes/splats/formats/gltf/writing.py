"""Writing splats as a GLB with KHR_gaussian_splatting.

Format: https://github.com/KhronosGroup/glTF/tree/main/extensions/2.0/Khronos/KHR_gaussian_splatting.
Colours of points stand beside the splats, for programs that draw only these. The origin moves the
node: what draws in float32 loses detail only where it must.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...format import RawFile
from ...notes import NOTES, noted, program_version
from ...raw_splats import RawSplats, as_bytes
from .buffers import BINARY_CHUNK, CHUNK, FLOAT, HEADER, JSON_CHUNK, WIDTHS
from .reading import SPLATS, WAVES

_BYTE = 5121
_POINTS = 0
_VERTICES = 34962  # what a buffer view is for


class _Arrays:
    """Arrays put behind each other, and what a document says of them."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: NDArray[Any], **more: Any) -> int:
        """The accessor of values [N, width], float32 or bytes."""
        real = values.dtype != np.uint8
        data = np.ascontiguousarray(values, "<f4" if real else np.uint8).tobytes()
        view = {"buffer": 0, "byteOffset": self.size, "byteLength": len(data), "target": _VERTICES}
        kind = next(name for name, width in WIDTHS.items() if width == values.shape[1])
        self.views.append(view)
        self.accessors.append(
            {
                "bufferView": len(self.views) - 1,
                "componentType": FLOAT if real else _BYTE,
                "count": len(values),
                "type": kind,
                **more,
            }
        )
        self.chunks.append(data)
        self.size += len(data)  # whole numbers of four bytes, as accessors must begin at
        return len(self.accessors) - 1


def write_splat_glb(file: RawFile, draft: Path, _: Path) -> None:
    """Writes a file."""
    arrays = _Arrays()
    # No list in a glTF may be empty, and so a file without splats has only a scene.
    document = _document(file, arrays) if len(file.raw.means) else _common(file)
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = CHUNK.pack(len(text), JSON_CHUNK), text
    with draft.open("wb") as out:
        binary = CHUNK.size + arrays.size if arrays.size else 0
        out.write(HEADER.pack(b"glTF", 2, HEADER.size + CHUNK.size + len(text) + binary))
        out.writelines(chunks)
        if arrays.size:
            out.write(CHUNK.pack(arrays.size, BINARY_CHUNK))
            out.writelines(arrays.chunks)


def _common(file: RawFile) -> dict[str, Any]:
    """What every file has."""
    notes = noted(file.metadata)
    if file.metadata.antialiased is not None:
        notes["antialiased"] = file.metadata.antialiased
    if file.comments:
        notes["comments"] = list(file.comments)
    generator = f"GaborSplat {program_version()}"
    asset = {"version": "2.0", "generator": generator, "extras": {NOTES: notes}}
    return {"asset": asset, "extensionsUsed": [SPLATS], "scene": 0, "scenes": [{}]}


def _document(file: RawFile, arrays: _Arrays) -> dict[str, Any]:
    raw = file.raw
    extension: dict[str, Any] = {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "projection": "perspective",
        "sortingMethod": "cameraDistance",
    }
    document = _common(file)
    primitive = {
        "mode": _POINTS,
        "attributes": _attributes(raw, arrays),
        "extensions": {SPLATS: extension},
    }
    if raw.frequencies.shape[1]:
        extension["extensions"] = {WAVES: _waves(raw, arrays)}
        document["extensionsUsed"] = [SPLATS, WAVES]
    node: dict[str, Any] = {"mesh": 0}
    if file.metadata.name:
        node["name"] = file.metadata.name
    if any(file.metadata.origin):
        node["translation"] = list(map(float, file.metadata.origin))
    return document | {
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [{"primitives": [primitive]}],
        "accessors": arrays.accessors,
        "bufferViews": arrays.views,
        "buffers": [{"byteLength": arrays.size}],
    }


def _attributes(raw: RawSplats, arrays: _Arrays) -> dict[str, int]:
    means = raw.means.astype(np.float32)
    bounds = {"min": means.min(axis=0).tolist(), "max": means.max(axis=0).tolist()}
    opacities = raw.opacities[:, None]
    shown = as_bytes(np.concatenate([raw.colors, opacities], axis=1) * 255.0)
    attributes = {
        "POSITION": arrays.add(means, **bounds),
        "COLOR_0": arrays.add(shown, normalized=True),
        f"{SPLATS}:ROTATION": arrays.add(raw.quats[:, [1, 2, 3, 0]]),
        f"{SPLATS}:SCALE": arrays.add(np.exp(raw.log_scales)),
        f"{SPLATS}:OPACITY": arrays.add(opacities),
    }
    for index in range(raw.sh.shape[1]):
        degree = int(np.sqrt(index))
        name = f"{SPLATS}:SH_DEGREE_{degree}_COEF_{index - degree * degree}"
        attributes[name] = arrays.add(raw.sh[:, index])
    return attributes


def _waves(raw: RawSplats, arrays: _Arrays) -> dict[str, Any]:
    """What `WAVES` has: an accessor of each wave's frequency along a splat's own axes, in cycles
    per standard deviation, and one of its two coefficients."""
    waves = range(raw.frequencies.shape[1])
    return {
        "frequencies": [arrays.add(raw.frequencies[:, each]) for each in waves],
        "coefficients": [arrays.add(raw.coefficients[:, each]) for each in waves],
    }

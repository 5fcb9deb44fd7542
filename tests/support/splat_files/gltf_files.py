"""glTF files with splats, put together from their description, for tests of the reader."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLATS = "KHR_gaussian_splatting"
_CODES = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "float32": 5126}
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


@dataclass
class Scene:
    """A document and its one buffer, to which accessors and primitives are added."""

    document: dict[str, Any] = field(
        default_factory=lambda: {
            "asset": {"version": "2.0"},
            "extensionsUsed": [SPLATS],
            "nodes": [],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
            "buffers": [{"byteLength": 0}],
        }
    )
    data: bytes = b""

    def view(self, data: bytes, **more: Any) -> int:
        """The index of a buffer view with `data`."""
        self.data += bytes(-len(self.data) % 4)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data), **more}
        self.data += data
        self.document["buffers"][0]["byteLength"] = len(self.data)
        return self._add("bufferViews", view)

    def accessor(self, values: NDArray[Any], *, stride: int = 0) -> int:
        """The index of an accessor of values [N, width]; whole numbers are normalised."""
        rows = np.ascontiguousarray(values).view("u1").reshape(len(values), -1)
        wide = np.zeros((len(rows), max(stride, rows.shape[1])), "u1")
        wide[:, : rows.shape[1]] = rows
        accessor = {
            "bufferView": self.view(wide.tobytes(), **({"byteStride": stride} if stride else {})),
            "componentType": _CODES[values.dtype.name],
            "count": len(values),
            "type": _KINDS[values.shape[1]],
        }
        return self._add(
            "accessors", accessor | ({"normalized": True} if values.dtype != "f4" else {})
        )

    def splats(
        self,
        arrays: dict[str, NDArray[Any]],
        color_space: str = "srgb_rec709_display",
        **node: Any,
    ) -> None:
        """Adds a mesh of splats, by the names of attributes without prefix, and its node."""
        attributes = {
            name if name == "POSITION" else f"{SPLATS}:{name}": self.accessor(values)
            for name, values in arrays.items()
        }
        own = {"kernel": "ellipse", "colorSpace": color_space}
        self.primitive({"attributes": attributes, "mode": 0, "extensions": {SPLATS: own}}, **node)

    def primitive(self, primitive: dict[str, Any], **node: Any) -> None:
        """Adds a mesh of one primitive, and its node."""
        self._add("nodes", {"mesh": self._add("meshes", {"primitives": [primitive]}), **node})

    def _add(self, kind: str, value: dict[str, Any]) -> int:
        self.document[kind].append(value)
        return len(self.document[kind]) - 1

    def glb(self) -> bytes:
        """All in one file."""
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        data = self.data + bytes(-len(self.data) % 4)
        head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(data))
        text_chunk = struct.pack("<I4s", len(text), b"JSON") + text
        return head + text_chunk + struct.pack("<I4s", len(data), b"BIN\0") + data

    def write(self, path: Path, uri: str) -> None:
        """A .gltf whose buffer is at `uri`."""
        self.document["buffers"][0]["uri"] = uri
        path.write_text(json.dumps(self.document))


def some_arrays(count: int = 4, degree: int = 1) -> dict[str, NDArray[Any]]:
    """Attributes of splats that are all different; always the same."""
    rng = np.random.default_rng(7)
    quats = rng.normal(size=(count, 4))
    real = {
        "POSITION": rng.uniform(-1, 1, (count, 3)),
        "ROTATION": quats / np.linalg.norm(quats, axis=1, keepdims=True),
        "SCALE": rng.uniform(0.01, 0.2, (count, 3)),
        "OPACITY": rng.uniform(0.1, 0.9, (count, 1)),
    }
    names = [f"SH_DEGREE_{d}_COEF_{i}" for d in range(degree + 1) for i in range(2 * d + 1)]
    real |= {name: rng.uniform(-1, 1, (count, 3)) for name in names}
    return {name: values.astype(np.float32) for name, values in real.items()}

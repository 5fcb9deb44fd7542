"""Reading splats of a glTF, .glb or .gltf: every primitive of KHR_gaussian_splatting that its scene
shows, where its nodes put it, as one cloud.

Format: https://github.com/KhronosGroup/glTF/tree/main/extensions/2.0/Khronos/KHR_gaussian_splatting.
Scales there are linear; in drafts before February 2026 they were logarithms, and such files say
nothing of it but by their negative numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from .....renderer.rotations import to_matrices
from .... import limits
from ....document import Entry, Fault
from ....errors import InputError
from ...axes import turned
from ...format import RawFile
from ...merged import merged
from ...metadata import Axis, Frame, SplatMetadata
from ...notes import NOTES, metadata_of
from ...placed import placed
from ...raw_splats import RawSplats, gaussians, logits_of
from ..spz.container import SPZ_FRAME, decoded_spz
from .buffers import MOST, Gltf, extensions_of, read_gltf

SPLATS = "KHR_gaussian_splatting"
WAVES = "EXT_gaborsplat_waves"
"""Our own: Gabor waves of a primitive's splats; who does not know it draws the Gaussians."""
UP: Axis = "y"
"""Up in every glTF."""
GLTF_FRAME: Frame = "LUF"
"""The axes of every glTF."""

_PACKED = (f"{SPLATS}_compression_spz_2", f"{SPLATS}_compression_spz")
_PACKED_ALONE = "KHR_spz_gaussian_splats_compression"  # before there was KHR_gaussian_splatting
_UNREAD = ("KHR_draco_mesh_compression",)
_LINEAR = "lin_rec709_display"
_LINEAR_SHOWN = (
    f"its colours are linear light ({_LINEAR}); they are shown as they stand, darker than meant: "
    "the extension has finished pictures converted, and splats cannot be instead, as they blend"
)
_SPLAT_BYTES = 4 * (3 + 4 + 3 + 1 + 48)  # float32, of degree 3


@dataclass(frozen=True)
class _Part:
    """A primitive of splats where a node puts it."""

    primitive: Entry
    matrix: NDArray[np.float64]  # [4, 4]
    node: Entry


def read_splat_gltf(path: Path) -> RawFile:
    """What is in a file.

    Raises:
        InputError: it is no glTF, has no splats, or is damaged.
    """
    gltf = read_gltf(path)
    try:
        parts = list(_parts(gltf))
        _check_size(gltf, parts)
        return _read(gltf, parts)
    except Fault as fault:
        raise InputError(f"{path}: {fault}") from fault


def _parts(gltf: Gltf) -> Iterator[_Part]:
    """Every primitive of splats that is in the scene."""
    seen: set[int] = set()
    left = [(index, np.eye(4)) for index in reversed(_roots(gltf))]
    while left:
        index, above = left.pop()
        if index in seen:
            raise Fault(f"nodes[{index}] stands in two places; the file is damaged")
        seen.add(index)
        node = gltf.item("nodes", index)
        matrix = above @ _matrix(node)
        if not np.abs(matrix).max() < limits.VALUE:
            raise Fault(f"{node.place} is put at a place that is not finite")
        left += [(child, matrix) for child in reversed(node.wholes("children", 0, MOST))]
        if node.values.get("mesh") is None:
            continue
        mesh = gltf.item("meshes", node.whole("mesh", 0, MOST))
        for primitive in mesh.entries("primitives"):
            if {SPLATS, _PACKED_ALONE} & extensions_of(primitive).keys():
                yield _Part(primitive, matrix, node)


def _roots(gltf: Gltf) -> Sequence[int]:
    """The nodes of the scene; without scenes, all that are nobody's children."""
    if gltf.document.items("scenes"):
        number = gltf.document.values.get("scene")
        first = 0 if number is None else gltf.document.whole("scene", 0, MOST)
        return gltf.item("scenes", first).wholes("nodes", 0, MOST)
    nodes = gltf.document.entries("nodes")
    children = {child for node in nodes for child in node.wholes("children", 0, MOST)}
    return [index for index in range(len(nodes)) if index not in children]


def _matrix(node: Entry) -> NDArray[np.float64]:
    """[4, 4] of a node; by columns in the file, or as translation, rotation and scale."""
    if node.values.get("matrix") is not None:
        return node.array("matrix", 16, 16).reshape(4, 4).T
    xyzw = _given(node, "rotation", (0.0, 0.0, 0.0, 1.0))
    if not xyzw.any():
        raise Fault(f"{node.at('rotation')} is zero")
    quat = torch.from_numpy(xyzw[[3, 0, 1, 2]] / np.abs(xyzw).max())
    matrix = np.eye(4)
    matrix[:3, :3] = to_matrices(quat[None])[0].numpy() * _given(node, "scale", (1.0, 1.0, 1.0))
    matrix[:3, 3] = _given(node, "translation", (0.0, 0.0, 0.0))
    return matrix


def _given(node: Entry, key: str, usual: tuple[float, ...]) -> NDArray[np.float64]:
    missing = node.values.get(key) is None
    return np.array(usual) if missing else node.array(key, len(usual), len(usual))


def _check_size(gltf: Gltf, parts: list[_Part]) -> None:
    """A few bytes may say that the same splats stand in thousands of places."""
    used = gltf.document.items("extensionsUsed") or ()
    if not parts and (SPLATS not in used or gltf.document.items("meshes")):
        raise Fault(f"has no Gaussian splats ({SPLATS}); open a mesh in another program")
    splats = 0
    for part in parts:
        if any(name in extensions_of(part.primitive) for name in _UNREAD):
            raise Fault(f"{part.primitive.place} is compressed by {_UNREAD[0]}, which is not read")
        view = _packed_view(part.primitive)
        if view is None:
            splats += gltf.count(part.primitive.entry("attributes").whole("POSITION", 0, MOST))
        else:
            splats += len(gltf.view(view)) // 2  # a splat in SPZ has sixteen bytes, well packed
    limits.check_unpacked(gltf.path, splats * _SPLAT_BYTES // 4, gltf.size)


def _packed_view(primitive: Entry) -> int | None:
    """The buffer view with an SPZ, None if there is none."""
    extensions = extensions_of(primitive)
    inner = {**extensions_of(Entry("", {"extensions": extensions})), **_inner(extensions)}
    for name in (*_PACKED, _PACKED_ALONE):
        if isinstance(inner.get(name), dict):
            entry = Entry(f"{primitive.place} {name}", cast("dict[str, Any]", inner[name]))
            return entry.whole("bufferView", 0, MOST)
    return None


def _inner(extensions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The extensions of KHR_gaussian_splatting itself."""
    own = extensions.get(SPLATS)
    return (
        extensions_of(Entry(SPLATS, cast("dict[str, Any]", own))) if isinstance(own, dict) else {}
    )


def _read(gltf: Gltf, parts: list[_Part]) -> RawFile:
    raws: list[RawSplats] = []
    packed: list[RawFile] = []
    logarithms = _has_logarithms(gltf, parts)
    for part in parts:
        view = _packed_view(part.primitive)
        if view is None:
            raw = _from_attributes(gltf, part.primitive, logarithms)
        else:
            packed.append(decoded_spz(gltf.path, bytes(gltf.view(view))))
            raw = _in_gltf_axes(gltf, part.primitive, packed[-1])
        try:
            raws.append(placed(raw, part.matrix))
        except ValueError as error:
            raise Fault(f"{part.node.place} cannot be applied to splats: {error}") from error
    noted, antialiased = _noted(gltf), {bool(each.metadata.antialiased) for each in packed}
    if noted.antialiased is None and len(antialiased) == 1:
        noted = replace(noted, antialiased=antialiased.pop())
    raw = merged(raws)
    if any(noted.origin):
        raw = replace(raw, means=raw.means.astype(np.float64) - noted.origin)
    said = dict.fromkeys(remark for each in packed for remark in each.said)
    if any(_inner_value(part.primitive, "colorSpace") == _LINEAR for part in parts):
        said[_LINEAR_SHOWN] = None
    assumed = ("scales below 0: taken as logarithms, as in an old draft",) if logarithms else ()
    return RawFile(raw, noted, said=tuple(said), assumed=assumed)


def _inner_value(primitive: Entry, key: str) -> object:
    own = extensions_of(primitive).get(SPLATS)
    return cast("dict[str, Any]", own).get(key) if isinstance(own, dict) else None


def _has_logarithms(gltf: Gltf, parts: list[_Part]) -> bool:
    """Whether the scales are logarithms, as they were in drafts."""
    for part in parts:
        if _packed_view(part.primitive) is None:
            attributes = part.primitive.entry("attributes")
            scales = gltf.values(attributes.whole(f"{SPLATS}:SCALE", 0, MOST), "VEC3")
            if (scales < 0).any():
                return True
    return False


def _from_attributes(gltf: Gltf, primitive: Entry, logarithms: bool) -> RawSplats:
    attributes = primitive.entry("attributes")
    count = gltf.count(attributes.whole("POSITION", 0, MOST))

    def values(name: str, kind: str) -> NDArray[np.float32]:
        found = gltf.values(attributes.whole(name, 0, MOST), kind)
        if len(found) != count:
            raise Fault(f"{attributes.at(name)} has {len(found)} values for {count} splats")
        return found

    scales = values(f"{SPLATS}:SCALE", "VEC3")
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = scales if logarithms else np.log(scales)
    higher = [d for d in (1, 2, 3) if f"{SPLATS}:SH_DEGREE_{d}_COEF_0" in attributes.values]
    bands = range(max(higher, default=0) + 1)
    names = [f"{SPLATS}:SH_DEGREE_{d}_COEF_{i}" for d in bands for i in range(2 * d + 1)]
    raw = gaussians(
        means=values("POSITION", "VEC3"),
        quats=values(f"{SPLATS}:ROTATION", "VEC4")[:, [3, 0, 1, 2]],
        log_scales=log_scales,
        logits=logits_of(values(f"{SPLATS}:OPACITY", "SCALAR")[:, 0]),
        sh=np.stack([values(name, "VEC3") for name in names], axis=1),
    )
    return _with_waves(gltf, primitive, raw)


def _with_waves(gltf: Gltf, primitive: Entry, raw: RawSplats) -> RawSplats:
    found = _inner(extensions_of(primitive)).get(WAVES)
    if not isinstance(found, dict):
        return raw
    entry = Entry(f"{primitive.place} {WAVES}", cast("dict[str, Any]", found))
    columns = [
        [gltf.values(index, kind) for index in entry.wholes(key, 0, MOST)]
        for key, kind in (("frequencies", "VEC3"), ("coefficients", "VEC2"))
    ]
    lengths = {len(each) for column in columns for each in column}
    if len(columns[0]) not in (1, 2, 4) or len(columns[1]) != len(columns[0]):
        raise Fault(f"{entry.place} must have 1, 2 or 4 frequencies and as many coefficients")
    if lengths != {len(raw.means)}:
        raise Fault(f"{entry.place} must have as many values as there are splats")
    frequencies, coefficients = (np.stack(each, axis=1) for each in columns)
    return replace(raw, frequencies=frequencies, coefficients=coefficients)


def _in_gltf_axes(gltf: Gltf, primitive: Entry, packed: RawFile) -> RawSplats:
    """The splats of an SPZ in the axes of the glTF. The extension's text has them turned, Cesium
    takes them as they are: the bounds that the primitive states tell which."""
    raw = packed.raw
    as_text = turned(raw, packed.metadata.frame or SPZ_FRAME, GLTF_FRAME)
    try:
        position = gltf.item("accessors", primitive.entry("attributes").whole("POSITION", 0, MOST))
        stated = np.array([position.array("min", 3, 3), position.array("max", 3, 3)])
    except Fault:
        return raw
    if not len(raw.means):
        return raw

    def error(means: NDArray[np.floating[Any]]) -> float:
        return float(np.abs(np.array([means.min(axis=0), means.max(axis=0)]) - stated).max())

    return as_text if error(as_text.means) < error(raw.means) else raw


def _noted(gltf: Gltf) -> SplatMetadata:
    """What we ourselves have written into a file."""
    extras = gltf.document.entry("asset").values.get("extras")
    notes = cast("dict[str, Any]", extras).get(NOTES) if isinstance(extras, dict) else None
    if not isinstance(notes, dict):
        return SplatMetadata(up=UP)
    return metadata_of(Entry(f"asset.extras.{NOTES}", cast("dict[str, Any]", notes)))

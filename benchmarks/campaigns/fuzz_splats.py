"""Small sound splat files of every format."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import gsply
import numpy as np

from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import SplatMetadata, save_splats
from tests.support.splat_files.clouds import random_splats
from tests.support.splat_files.gltf_files import Scene, some_arrays
from tests.support.splat_files.ksplat_files import ksplat

Files = dict[str, bytes]
"""Files of a folder by name."""


def _written(name: str, splats: Splats, **options: Any) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        save_splats(splats, Path(folder) / name, **options)
        return {name: (Path(folder) / name).read_bytes()}


def ply_files() -> list[Files]:
    header = "ply\nformat {} 1.0\ncomment SplatRenderMode: mip\nelement vertex 3\n"
    names = [*"xyz", *(f"f_dc_{i}" for i in range(3)), "opacity"]
    names += [*(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    header += "".join(f"property float {name}\n" for name in names) + "end_header\n"
    values = np.linspace(-1, 1, 3 * len(names)).reshape(3, -1)
    text = "\n".join(" ".join(f"{value:.3f}" for value in row) for row in values)
    known = SplatMetadata(True, "-y", background=(0.5, 0.25, 1.0), name="a caf\u00e9")
    filtered = header.replace("scale_2", "filter_3D")  # of a 2DGS, which has two scales
    faces = "element face 1\nproperty list uchar int vertex_indices\nelement vertex"
    listed = header.replace("element vertex", faces).format("binary_little_endian")
    return [
        _written("a.ply", random_splats(waves=2), origin=(1e5, 0, -7.5), metadata=known),
        {"a.ply": listed.encode() + b"\3" + bytes(12) + values.astype("<f4").tobytes()},
        {"a.ply": (header.format("ascii") + text).encode()},
        {"a.ply": filtered.format("binary_big_endian").encode() + values.astype(">f4").tobytes()},
    ]


def zip_files() -> list[Files]:
    folders = [_written("a.ply", random_splats()), _written("a.splat", random_splats())]
    inner = [
        {"points/input.ply": b"", f"out/{name}": data} for f in folders for name, data in f.items()
    ]
    return [{"a.zip": zipped(members, method)} for members in inner for method in (0, 8)]


def splat_files() -> list[Files]:
    return [_written("a.splat", random_splats())]


def compressed_files() -> list[Files]:
    return [_written("a.compressed.ply", random_splats(300, degree)) for degree in (0, 1)]


def spz_files() -> list[Files]:
    files = [_written("a.spz", random_splats(degree=degree)) for degree in (0, 3)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.spz"
        path.write_bytes(files[1]["a.spz"])
        gsply.write_spz(Path(folder) / "b.spz", gsply.read_spz(path), version=4)
        files += [{"a.spz": (Path(folder) / "b.spz").read_bytes()}]
    files += [{"a.spz": gzip.decompress(files[1]["a.spz"])}]
    return [*files, _written("a.v4.spz", random_splats(), antialiased=True)]


def ksplat_files() -> list[Files]:
    rng = np.random.default_rng(5)

    def section(count: int, coeffs: int) -> dict[str, Any]:
        arrays = {"xyz": rng.uniform(-1, 1, (count, 3)), "scales": rng.uniform(0.01, 1, (count, 3))}
        arrays |= {"quat": rng.normal(size=(count, 4)), "rgba": rng.integers(1, 255, (count, 4))}
        return arrays | {"sh": rng.uniform(-1, 1, (count, coeffs, 3))}

    return [
        {"a.ksplat": ksplat([section(5, 3), section(2, coeffs)], level)}
        for level, coeffs in ((0, 0), (1, 3), (2, 8))
    ]


def gltf_files() -> list[Files]:
    scene = Scene()
    scene.splats(some_arrays(), translation=[1e5, 2, 3], rotation=[0.0, 0.6, 0.0, 0.8])
    scene.splats(some_arrays(degree=0), scale=[2, 2, 2])
    scene.document["nodes"].append({"children": [0, 1]})
    packed = Scene()
    view = packed.view(spz_files()[1]["a.spz"])
    own = {"extensions": {"KHR_gaussian_splatting_compression_spz_2": {"bufferView": view}}}
    packed.primitive({"attributes": {}, "extensions": {"KHR_gaussian_splatting": own}})
    ours = _written("a.glb", random_splats(waves=2), origin=(1e5, 0, -7.5), antialiased=True)
    return [ours, {"a.glb": scene.glb()}, {"a.glb": packed.glb()}]


def sog_members(count: int = 4) -> Files:
    """The members of a SOG of splats that are all alike, with harmonics."""
    side = int(np.ceil(np.sqrt(count)))
    book = np.linspace(-2, 1, 256).round(3).tolist()
    meta: dict[str, Any] = {"version": 2, "count": count}
    meta["means"] = {
        "mins": [-2, -1, 0],
        "maxs": [2, 1, 3],
        "files": ["means_l.webp", "means_u.webp"],
    }
    meta |= {
        "quats": {"files": ["quats.webp"]},
        "scales": {"codebook": book, "files": ["scales.webp"]},
    }
    meta["sh0"] = {"codebook": book, "files": ["sh0.webp"]}
    meta["shN"] = {"codebook": book, "bands": 1, "files": ["centroids.webp", "labels.webp"]}
    pixels = {
        name: np.full((side, side, 4), 128, np.uint8) for name in ("means_l", "scales", "sh0")
    }
    pixels["means_u"] = np.full((side, side, 4), 255, np.uint8)
    pixels["quats"] = np.full((side, side, 4), (10, 20, 30, 253), np.uint8)
    pixels["labels"] = np.zeros((side, side, 4), np.uint8)
    pixels["centroids"] = np.full((1, 64 * 3, 4), 100, np.uint8)
    members = {"meta.json": json.dumps(meta).encode()}
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101]
    for name, each in pixels.items():
        members[f"{name}.webp"] = cv2.imencode(".webp", each, lossless)[1].tobytes()
    return members


def streamed_sog(counts: tuple[int, ...] = (4, 9)) -> Files:
    """A streamed SOG of two levels, in archives of so many splats each, and its surroundings."""
    level = lambda file, first, count: {"file": file, "offset": first, "count": count}  # noqa: E731
    fine, coarse = counts
    bound = {"min": [-2, -1, 0], "max": [2, 1, 3]}
    half = fine // 2
    leaves = [
        {"bound": bound, "lods": {"0": level(0, 0, half), "1": level(1, 0, coarse)}},
        {"bound": bound, "lods": {"0": level(0, half, fine - half)}},
    ]
    meta = {
        **{"version": 1, "count": sum(counts), "counts": counts, "lodLevels": 2},
        **{"filenames": ["0_0.sog", "1_0.sog"], "environment": "env.sog"},
        "tree": {"bound": bound, "children": leaves},
    }
    return {
        "lod-meta.json": json.dumps(meta).encode(),
        "0_0.sog": zipped(sog_members(fine)),
        "1_0.sog": zipped(sog_members(coarse)),
        "env.sog": zipped(sog_members(1)),
    }


def zipped(members: Files, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)  # without a date
    return file.getvalue()


def sog_files() -> list[Files]:
    shown = SplatMetadata(antialiased=True, up="-y", origin=(1e5, 0, -7.5), background=(1, 1, 1))
    ours = _written("a.sog", random_splats(degree=2), metadata=shown)
    return [{"a.sog": zipped(sog_members())}, ours]

"""The readers of files, small sound files of every format, and what once was trouble.

A file of tests/campaigns/corpus/READER/ is called WHAT--NAME: it stands for the file NAME among
those of the reader's first seed that has one of that name.
"""

from __future__ import annotations

import io
import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.campaigns import fuzz_mutations as damage
from benchmarks.campaigns.fuzz_mutations import Mutation
from benchmarks.campaigns.fuzz_splats import (
    Files,
    compressed_files,
    gltf_files,
    ksplat_files,
    ply_files,
    sog_files,
    sog_members,
    splat_files,
    spz_files,
    streamed_sog,
    zip_files,
)
from gaborsplat.scenes import SplatFile, load_splat_file, read_model
from gaborsplat.scenes.colmap.point_clouds import read_ply_points
from gaborsplat.scenes.limits import most_unpacked
from gaborsplat.scenes.photos.decoding import read_header
from gaborsplat.scenes.transforms.reading import read_transforms
from gaborsplat.viewer.path.file import Placement, film_from_json, path_from_json
from tests.support.colmap_files import ring, write_binary, write_text

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "campaigns" / "corpus"


@dataclass(frozen=True)
class Reader:
    """One way into the readers.

    Attributes:
        read: takes the folder with the files, and the name of the one that is damaged.
        seeds: makes sound files, by their names relative to that folder.
        holds: bytes that what is read from a sound file of a number of bytes takes in memory.
        mutations: what damages a file, by the end of its name; one is drawn.
    """

    read: Callable[[Path, str], object]
    seeds: Callable[[], list[Files]]
    holds: Callable[[int], int]
    mutations: dict[str, tuple[Mutation, ...]]


@dataclass(frozen=True)
class Case:
    """Files, one of which is damaged."""

    files: Files
    name: str  # of the damaged one


def _model(write: Callable[[Any, Path], Path]) -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        write(ring(4, points=12), Path(folder))
        return [{path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}]


def _points() -> list[Files]:
    columns = [
        ("x", "f4"),
        ("y", "f4"),
        ("z", "f8"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
    ]
    kinds = {"f4": "float", "f8": "double", "u1": "uchar"}
    header = "ply\nformat {} 1.0\nelement vertex 6\n"
    header += "".join(f"property {kinds[kind]} {name}\n" for name, kind in columns)
    header += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    table = np.zeros(6, np.dtype([(name, f"<{kind}") for name, kind in columns]))
    table["x"], table["red"] = np.arange(6), 200
    text = "\n".join(" ".join(map(str, row.tolist())) for row in table) + "\n3 0 1 2\n"
    return [
        {
            "p.ply": header.format("binary_little_endian").encode()
            + table.tobytes()
            + b"\3"
            + bytes(12)
        },
        {"p.ply": (header.format("ascii") + text).encode()},
    ]


def _transforms() -> list[Files]:
    photo = cv2.imencode(".png", np.zeros((6, 8, 3), np.uint8))[1].tobytes()
    lens = {
        "fl_x": 9.5,
        "fl_y": 9.0,
        "cx": 4,
        "cy": 3,
        "k1": 0.01,
        "k2": 0.0,
        "p1": 0.001,
        "p2": 0.0,
    }
    pose = np.eye(4).tolist()
    frames = [
        {"file_path": f"{name}.png", "transform_matrix": pose, "w": 8, "h": 6} for name in "abcd"
    ]
    frames[1] |= {"k3": 0.01, "k4": 0.02, "mask_path": "a.png"}
    frames[2] |= {"camera_model": "OPENCV_FISHEYE", "k4": 0.01}
    document = {**lens, "applied_transform": (2 * np.eye(4))[:3].tolist(), "applied_scale": 0.5}
    document |= {"frames": frames, "ply_file_path": "p.ply", "train_filenames": [*"abc"]}
    plain = {"camera_angle_x": 0.7, "frames": [{"file_path": "a", "transform_matrix": pose}]}
    others = {"a.png": photo, **_points()[0]}
    return [{"transforms.json": json.dumps(each).encode(), **others} for each in (document, plain)]


def _path() -> list[Files]:
    matrix = np.eye(4).ravel().tolist()
    frames = [{"camera_to_world": matrix, "fov": 50.0, "aspect": 1.5}] * 4
    keys = [
        {
            "matrix": matrix,
            "fov": 50,
            "override_transition_enabled": True,
            "override_transition_sec": 2,
        }
    ]
    common = {"render_width": 640, "render_height": 480, "fps": 30, "is_cycle": False}
    documents = (
        {**common, "camera_path": frames, "keyframes": keys * 3},
        {**common, "camera_path": frames},
    )
    return [{"path.json": json.dumps(each).encode()} for each in documents]


def _photos() -> list[Files]:
    picture = Image.fromarray(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3))
    deep = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    exif = Image.Exif()
    exif[0x0112] = 6
    photos: list[Files] = []
    for ending in ("jpg", "png", "webp", "tif", "bmp", "ppm", "gif", "jp2"):
        file = io.BytesIO()
        kinds = {"jpg": "jpeg", "tif": "tiff", "jp2": "jpeg2000"}
        picture.save(file, kinds.get(ending, ending), **({"exif": exif} if ending == "jpg" else {}))
        photos.append({f"a.{ending}": file.getvalue()})
    for ending in ("tif", "png"):
        photos.append(
            {f"a.{ending}": cv2.imencode(f".{ending}", np.dstack([deep] * 3))[1].tobytes()}
        )
    return photos


def _load(folder: Path, name: str) -> object:
    return _sound(load_splat_file(folder / name))


def _sound(file: SplatFile) -> SplatFile:
    """What was read, if it can be drawn."""
    tensors = file.splats.tensors().values()
    if not (
        all(bool(each.isfinite().all()) for each in tensors) and np.isfinite(file.origin).all()
    ):
        raise AssertionError("splats that are not finite")
    return file


def _read_path(folder: Path, name: str) -> object:
    data, placement = (folder / name).read_bytes(), Placement((1.0, 2.0, 3.0), 2.0)
    return path_from_json(data, placement), film_from_json(data, placement)


def _plain(size: int) -> int:
    return 8 * size  # numbers of a byte become numbers of four; ten to eight in text, and objects


def _packed(size: int) -> int:
    return 4 * most_unpacked(size)


def _json(size: int) -> int:
    return 24 * size  # {}, is three bytes


READERS: dict[str, Reader] = {
    "ply": Reader(_load, ply_files, _plain, {"": (damage.ply_of,)}),
    "compressed-ply": Reader(_load, compressed_files, _plain, {"": (damage.ply_of,)}),
    "zip": Reader(_load, zip_files, _packed, {"": (damage.bytes_of,)}),
    "splat": Reader(_load, splat_files, _plain, {"": (damage.bytes_of,)}),
    "spz": Reader(_load, spz_files, _packed, {"": (damage.gzip_of, damage.zstd_of)}),
    "ksplat": Reader(_load, ksplat_files, _plain, {"": (damage.bytes_of,)}),
    "glb": Reader(_load, gltf_files, _packed, {"": (damage.glb_of,)}),
    "sog": Reader(_load, sog_files, _packed, {"": (damage.sog_of,)}),
    "sog-folder": Reader(
        lambda folder, _: _sound(load_splat_file(folder)),
        lambda: [sog_members()],
        _packed,
        {".json": (damage.json_of,), "": (damage.bytes_of,)},
    ),
    "sog-streamed": Reader(
        lambda folder, _: _sound(load_splat_file(folder)),
        lambda: [streamed_sog()],
        _packed,
        {".json": (damage.json_of,), "": (damage.sog_of,)},
    ),
    "points": Reader(
        lambda folder, name: read_ply_points(folder / name, []),
        _points,
        _plain,
        {"": (damage.ply_of,)},
    ),
    "colmap-binary": Reader(
        lambda folder, _: read_model(folder),
        lambda: _model(write_binary),
        _plain,
        {"": (damage.bytes_of,)},
    ),
    "colmap-text": Reader(
        lambda folder, _: read_model(folder),
        lambda: _model(write_text),
        _plain,
        {"": (damage.text_of, damage.text_of, damage.bytes_of)},
    ),
    "transforms": Reader(
        lambda folder, _: read_transforms([folder / "transforms.json"]),
        _transforms,
        _json,
        {".json": (damage.json_of,), ".ply": (damage.ply_of,), "": (damage.bytes_of,)},
    ),
    "camera-path": Reader(_read_path, _path, _json, {"": (damage.json_of,)}),
    "photo": Reader(
        lambda folder, name: read_header(folder / name), _photos, _plain, {"": (damage.bytes_of,)}
    ),
}
"""Every reader, by the name of its folder in the corpus."""


def corpus(name: str, seeds: list[Files]) -> list[Case]:
    """The files of the corpus of a reader, each among the files that belong to it."""
    cases: list[Case] = []
    for path in sorted((CORPUS / name).glob("*--*")):
        member = path.name.split("--", 1)[1]
        around = next((files for files in seeds if member in files), {})
        cases.append(Case({**around, member: path.read_bytes()}, member))
    return cases


class Mutants:
    """The damaged files of a reader, by number."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.seed = seed
        self.reader = READERS[name]
        seeds = self.reader.seeds()
        self.sound = [Case(files, member) for files in seeds for member in files]
        self.corpus = corpus(name, seeds)

    def case(self, number: int) -> Case:
        """The case of that number, which is always the same for a seed, corpus and version."""
        rng = random.Random(f"{self.seed} {self.name} {number}")
        old = self.corpus and rng.random() < 0.2
        start = rng.choice(self.corpus if old else self.sound)
        documents = [name for name in start.files if name.endswith(".json")]
        if documents and rng.random() < 0.7:  # rather than what it names
            start = Case(start.files, documents[0])
        mutations = next(
            found for end, found in self.reader.mutations.items() if start.name.endswith(end)
        )
        data = rng.choice(mutations)(rng, start.files[start.name])
        return Case({**start.files, start.name: data}, start.name)

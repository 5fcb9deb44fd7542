"""Whatever a capture is like, a run ends well or with one line, and writes into its folder only."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from colmap_files import MODELS, Camera, Model, photo, quaternion, ring, write_binary, write_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaborsplat.cli import BAD_INPUT, DONE, main

STEPS = ["--steps", "3", "--max-splats", "60", "--gabor", "0", "--no-viewer", "--max-size", "32"]

PARTS = st.one_of(
    st.sampled_from(
        ["a", "b.png", "B.PNG", "..", ".", "", "images", "con", "é", "e\u0301", ".hid"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), min_size=1, max_size=12),
)
NAMES = st.one_of(
    st.lists(PARTS, min_size=1, max_size=4).map("/".join),
    st.lists(PARTS, min_size=1, max_size=3).map("\\".join),
    st.lists(PARTS, min_size=1, max_size=2).map(lambda parts: "/" + "/".join(parts)),
    st.sampled_from(["../victims/mask.png", "VICTIMS", "C:\\photo.png", "a" * 300 + ".png"]),
)
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))
FATES = st.sampled_from(
    ["there"] * 20 + ["missing", "cut", "empty", "folder", "other size", "link"]
)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@dataclass
class Capture:
    """A capture to be written, and what becomes of its files."""

    names: list[str]
    size: tuple[int, int]
    scale: float
    shift: tuple[float, float, float]
    model: str
    params: list[float]
    fates: list[str]
    ending: str
    binary: bool
    points: int
    wild: list[float]
    masks: str
    cut_file: str | None
    cut_at: float
    extra: dict[str, bytes] = field(default_factory=dict)


@st.composite
def captures(draw: st.DrawFn) -> Capture:
    count = draw(st.sampled_from([0, 1, 2, *[3, 4, 5, 6, 8] * 4]))
    hostile = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    names = [draw(NAMES) if each else f"{i:02d}.png" for i, each in enumerate(hostile)]
    model = draw(st.sampled_from(["PINHOLE"] * 4 + list(MODELS)))
    width = len(MODELS[model][1])
    sane = draw(st.sampled_from([True] * 5 + [False]))
    return Capture(
        names=names,
        size=draw(SIZES) if draw(st.booleans()) else (40, 30),
        scale=10.0 ** draw(st.integers(-6, 6)),
        shift=draw(st.sampled_from([(0.0, 0.0, 0.0), (5e5, 4.6e6, 120.0), (4e6, 3e5, 5e6)])),
        model=model,
        params=[] if sane else draw(st.lists(NUMBERS, min_size=width, max_size=width)),
        fates=draw(st.lists(FATES, min_size=count, max_size=count)),
        ending=draw(st.sampled_from(["", "", "", ".png", ".JPG"])),
        binary=draw(st.booleans()),
        points=draw(st.sampled_from([0, 1, 2, 40, 200])),
        wild=draw(st.lists(NUMBERS, max_size=3)),
        masks=draw(st.sampled_from(["none", "none", "good", "black", "other shape", "broken"])),
        cut_file=draw(st.sampled_from([None] * 12 + ["cameras", "images", "points3D"])),
        cut_at=draw(st.floats(0, 1)),
    )


def model_of(capture: Capture) -> Model:
    model = ring(max(1, len(capture.names)), capture.size, capture.points)
    width, height = capture.size
    usual = {"fx": 40.0, "fy": 40.0, "f": 40.0, "cx": width / 2, "cy": height / 2}
    usual |= {"w": float(width), "h": float(height)}
    params = capture.params or [usual.get(name, 0.01) for name in MODELS[capture.model][1]]
    views = [
        replace(view, tvec=view.tvec * capture.scale, name=name)
        for view, name in zip(model.views, capture.names, strict=False)
    ]
    shift = np.array(capture.shift)
    for view in views:
        view.tvec = view.tvec - rotation(view.qvec) @ shift
    xyz = model.xyz * capture.scale + shift
    for index, value in enumerate(capture.wild[: len(xyz)]):
        xyz[index, index % 3] = value
    return Model([Camera(3, capture.model, capture.size, tuple(params))], views, xyz, model.rgb)


def rotation(qvec: np.ndarray) -> np.ndarray:
    w, x, y, z = qvec / np.linalg.norm(qvec)
    found = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    assert abs(quaternion(found) @ qvec) > 0.99
    return found


def write(capture: Capture, root: Path) -> Path:
    scene = root / "scene"
    (scene / "images").mkdir(parents=True)
    (root / "victims").mkdir()
    for name in ("mask.png", "keep.txt"):
        (root / "victims" / name).write_bytes(b"do not touch")
    sparse = scene / "sparse" / "0"
    (write_binary if capture.binary else write_text)(model_of(capture), sparse)
    for name, fate in zip(capture.names, capture.fates, strict=True):
        put_photo(capture, scene, name, fate)
    if capture.cut_file is not None:
        path = sparse / f"{capture.cut_file}{'.bin' if capture.binary else '.txt'}"
        whole = path.read_bytes()
        path.write_bytes(whole[: int(capture.cut_at * len(whole))])
    return scene


def put_photo(capture: Capture, scene: Path, name: str, fate: str) -> None:
    """Writes a photo where the name says, as far as that is within the capture."""
    path = Path(os.path.normpath(f"{scene}/images/{name.replace(chr(92), '/')}{capture.ending}"))
    if fate == "missing" or not path.is_relative_to(scene / "images") or os.path.lexists(path):
        return
    size = (capture.size[0] + 9, capture.size[1]) if fate == "other size" else capture.size
    data = cv2.imencode(".png", photo(size))[1].tobytes()
    data = {"cut": data[: len(data) // 2], "empty": b""}.get(fate, data)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if fate == "folder":
            path.mkdir()
        elif fate == "link":
            path.symlink_to(scene / "images" / "nowhere.png")
        else:
            path.write_bytes(data)
        put_mask(capture, scene / "masks" / path.relative_to(scene / "images"))
    except (OSError, ValueError):  # what no file can be called
        return


def put_mask(capture: Capture, path: Path) -> None:
    if capture.masks == "none":
        return
    width, height = capture.size
    mask = np.zeros((height + 5 if capture.masks == "other shape" else height, width), np.uint8)
    if capture.masks == "good":
        mask[: height // 2 + 1] = 255
    data = cv2.imencode(".png", mask)[1].tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".png").write_bytes(data[:30] if capture.masks == "broken" else data)


def tree(root: Path) -> dict[str, str]:
    """Everything below a folder but the run: links as links, files by content."""
    found: dict[str, str] = {}
    for parent, folders, files in os.walk(root):
        if Path(parent) == root:
            folders[:] = [each for each in folders if each != "run"]
        for each in (*folders, *files):
            path = Path(parent, each)
            if path.is_symlink():
                found[str(path)] = f"link to {os.readlink(path)}"
            elif path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path)] = "folder"
    return found


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(capture=captures())
def test_any_capture_is_trained_or_refused_in_one_line_and_nothing_else_is_touched(
    capture: Capture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    root = Path(tempfile.mkdtemp(prefix="hostile"))
    try:
        scene = write(capture, root)
        monkeypatch.chdir(root)
        before = tree(root)
        code = main(["train", str(scene), "--out", str(root / "run"), *STEPS])
        said = capsys.readouterr()
        assert code in (DONE, BAD_INPUT), said.err
        assert "Traceback" not in said.err + said.out
        if code == BAD_INPUT:
            lines = said.err.strip().splitlines()
            assert [line.startswith("gaborsplat: ") for line in lines] == [
                *[False] * (len(lines) - 1),
                True,
            ]
        assert tree(root) == before
        if code == DONE:
            assert (root / "run" / "splats.ply").is_file()
            assert main(["eval", str(root / "run")]) == DONE
            capsys.readouterr()
            assert tree(root) == before
    finally:
        monkeypatch.chdir("/")
        shutil.rmtree(root, ignore_errors=True)

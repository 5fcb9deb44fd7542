"""`gaborsplat render`: which files it writes, and that they say what they are of."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic
import torch

import gaborsplat as gs
from gaborsplat.cli import BAD_INPUT, DONE, main, parse
from gaborsplat.scenes.colmap.camera_models import BY_NAME
from gaborsplat.scenes.colmap.model import rotation_matrix
from gaborsplat.scenes.transforms.reading import read_transforms
from gaborsplat.viewer.picture.projection import WideLens

ORIGIN = (400_000.0, 5_000_000.0, 300.0)
POSE = np.array([[0.8, 0.0, 0.6, 1.0], [0.0, 1.0, 0.0, 2.0], [-0.6, 0.0, 0.8, 3.0], [0, 0, 0, 1]])
"""Camera to world, OpenGL's axes."""


@pytest.fixture
def splats(tmp_path: Path) -> Path:
    """A splat file of a scene far from zero, whose own origin it states."""
    path = tmp_path / "scene.ply"
    gs.save_splats(synthetic.cloud(40, 1, dtype=torch.float32), path, origin=ORIGIN)
    return path


@pytest.fixture
def way(tmp_path: Path) -> list[str]:
    """Two pictures with fields of view of their own."""
    path = tmp_path / "path.json"
    frames: list[dict[str, object]] = []
    for k, fov in enumerate((50, 70)):
        pose = POSE.copy()
        pose[:3, 3] = np.add(ORIGIN, [0.5 * k, 0.0, 6.0])
        frames.append({"camera_to_world": pose.ravel().tolist(), "fov": fov})
    path.write_text(json.dumps({"camera_path": frames, "fps": 5}))
    return ["--path", str(path), "--device", "cpu"]


def render(splats: Path, target: Path, *options: str) -> None:
    assert main(["render", str(splats), "-o", str(target), *options]) == DONE


def names(folder: Path) -> list[str]:
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*.*"))


def test_several_things_are_shown_at_once_each_in_its_folder(
    splats: Path, way: list[str], tmp_path: Path
):
    folder = tmp_path / "out"
    shown = ["--show", "rgb", "depth", "normals", "--format", "webp", "png16", "exr"]
    render(splats, folder, *way, "--size", "33x21", *shown)
    expected = [f"{name}/0000{k}.{end}" for name, end in ENDS for k in range(2)]
    assert names(folder) == [*sorted(expected), "transforms.json"]
    said = json.loads((folder / "transforms.json").read_text())
    depth = cv2.imread(str(folder / said["frames"][1]["depth_file_path"]), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (21, 33)
    assert depth.dtype == np.uint16
    assert said["frames"][0]["file_path"] == "rgb/00000.webp"
    assert said["depth_of_nothing"] == 0
    assert said["depth_measured"] == "z"
    assert said["depth_unit_scale_factor"] == 1e-3  # what lies a few units away takes thousands
    assert 1000 < np.median(depth[depth > 0]) < 10_000


ENDS = [("depth", "png"), ("normals", "exr"), ("rgb", "webp")]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--projection", "equirectangular"),
        ("--projection", "fisheye", "--fov", "200", "--background", "transparent"),
    ],
    ids=["perspective", "equirectangular", "fisheye"],
)
def test_the_cameras_are_read_back_from_transforms_json(
    splats: Path, way: list[str], tmp_path: Path, options: tuple[str, ...]
):
    folder = tmp_path / "out"
    render(splats, folder, *way, "--size", "41x31", *options)
    picture = cv2.imread(str(folder / "00000.png"), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (31, 41, 4 if "transparent" in options else 3)
    model = read_transforms([folder / "transforms.json"])
    assert [image.name for image in model.images] == ["00000.png", "00001.png"]
    asked = json.loads(Path(way[1]).read_text())["camera_path"]
    for image, frame in zip(model.images, asked, strict=True):
        matrix = np.array(frame["camera_to_world"]).reshape(4, 4)
        turn = rotation_matrix(image.qvec)
        np.testing.assert_allclose(turn.T, matrix[:3, :3] * [1, -1, -1], atol=1e-6)
        np.testing.assert_allclose(-turn.T @ image.tvec, matrix[:3, 3], atol=1e-5)
        camera = model.cameras[image.camera_id]
        assert (camera.width, camera.height) == (41, 31)
        if not options:
            focal = 15.5 / np.tan(np.radians(frame["fov"]) / 2)
            np.testing.assert_allclose(camera.params, (focal, focal, 20.5, 15.5), rtol=1e-6)
            continue
        assert camera.model == {"e": "EQUIRECTANGULAR", "f": "OPENCV_FISHEYE"}[options[1][0]]
        if "fisheye" in options:
            lens = WideLens("fisheye", np.radians(200))
            rays = lens.rays((41, 31), (0.5, 0.5)).numpy()
            fx, fy, cx, cy, *rest = camera.params
            u, v = BY_NAME[camera.model].project(*rays.T, *rest)
            y, x = np.mgrid[:31, :41].reshape(2, -1) + 0.5
            seen = np.isfinite(rays[:, 0])
            np.testing.assert_allclose((fx * u + cx)[seen], x[seen], atol=1e-6)
            np.testing.assert_allclose((fy * v + cy)[seen], y[seen], atol=1e-6)


def test_one_field_of_view_is_stated_once(splats: Path, tmp_path: Path):
    render(splats, tmp_path / "out", "--fps", "2", "--seconds", "1", "--size", "20x11")
    said = json.loads((tmp_path / "out" / "transforms.json").read_text())
    assert said["fl_x"] > 0
    assert "fl_x" not in said["frames"][0]


def test_a_background_stands_behind_the_splats(tmp_path: Path):
    dot = tmp_path / "dot.ply"
    gs.save_splats(synthetic.dot(dtype=torch.float32), dot)
    way = ("--fps", "1", "--seconds", "1", "--size", "64x40")

    def corner(name: str, *options: str) -> list[int]:
        render(dot, tmp_path / name, *way, *options)
        picture = cv2.imread(str(tmp_path / name / "00000.png"), cv2.IMREAD_UNCHANGED)
        return picture[0, 0].tolist()

    assert corner("scene") == [0, 0, 0]
    assert corner("orange", "--background", "1", "0.6", "0") == [0, 153, 255]
    assert corner("clear", "--background", "transparent") == [0, 0, 0, 0]
    wide = ("--projection", "fisheye", "--background", "1", "1", "1")
    assert corner("wide", *wide) == [255, 255, 255]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--show", "depth"], {"show": ("depth",)}),
        (["--show", "rgb", "depth"], {"show": ("rgb", "depth")}),
        (["--show", "rgb,depth"], {"show": ("rgb", "depth")}),
        (["--show=rgb,depth"], {"show": ("rgb", "depth")}),
        (["--format", "exr"], {"format": ("exr",)}),
        (["--format", "exr", "--show", "alpha"], {"format": ("exr",), "show": ("alpha",)}),
        (
            ["--show", "rgb", "depth", "--format", "exr", "png"],
            {"show": ("rgb", "depth"), "format": ("exr", "png")},
        ),
        (["--show=rgb,depth", "--format=exr,png"], {"format": ("exr", "png")}),
        (["--background", "transparent"], {"background": ("transparent",)}),
        (["--background=scene"], {"background": ("scene",)}),
        (["--background", "1", "0.5", "0"], {"background": ("1", "0.5", "0")}),
        (["--background", "1,0.5,0"], {"background": ("1", "0.5", "0")}),
        (["--background=1,0.5,0"], {"background": ("1", "0.5", "0")}),
        (["--size", "9x9"], {"show": ("rgb",), "format": ("png",), "background": ("scene",)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["a.ply", "2024"])
def test_a_path_may_stand_before_and_behind_options_of_several_values(
    options: list[str], expected: dict[str, tuple[str, ...]], path: str
):
    for words in ([path, *options, "-o", "out"], [*options, path, "-o", "out"]):
        command = parse(["render", *words])
        assert command.path == Path(path)
        assert command.output == Path("out")
        for name, value in expected.items():
            assert getattr(command, name) == value


def test_panoramas_are_twice_as_wide_as_high_unless_a_size_is_given(
    splats: Path, way: list[str], tmp_path: Path
):
    options = ("--projection", "equirectangular", "--format", "webp")
    document = json.loads(Path(way[1]).read_text()) | {"render_width": 62, "render_height": 40}
    Path(way[1]).write_text(json.dumps(document))
    render(splats, tmp_path / "out", *way, *options)
    assert cv2.imread(str(tmp_path / "out" / "00000.webp")).shape == (31, 62, 3)


def test_videos_of_several_things_have_names_of_their_own_and_even_sides(
    splats: Path, way: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    film = tmp_path / "film.mp4"
    render(splats, film, *way, "--size", "33x20", "--show", "rgb", "depth")
    assert "32x20 instead of 33x20" in capsys.readouterr().err
    for name in ("film_rgb.mp4", "film_depth.mp4"):
        reader = cv2.VideoCapture(str(tmp_path / name))
        assert reader.get(cv2.CAP_PROP_FRAME_COUNT) == 2
        assert reader.get(cv2.CAP_PROP_FRAME_WIDTH) == 32
        reader.release()
    wide = ("--size", "40x20", "--projection", "equirectangular")
    render(splats, film, *way, *wide)
    assert "instead" not in capsys.readouterr().err
    assert film.is_file()


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (("--background", "255", "255", "255"), ("--background", "0 to 1", "255 255 255")),
        (("--background", "blue"), ("--background", "transparent", "blue")),
        (("--background", "nan", "0", "0"), ("--background", "nan 0 0")),
        (("--background", "-1", "0", "0"), ("--background", "not -1 0 0")),
        (("--background", "0.5", "0.5"), ("--background", "not 0.5 0.5")),
        (("--show", "rgb", "rgb"), ("--show", "once", "rgb rgb")),
        (("--show", "colour"), ("--show", "known are rgb, depth", "colour")),
        (("--show=",), ("--show", "not nothing")),
        (("--show",), ("--show",)),
        (("--format", "jpg"), ("--format", "known are png", "jpg")),
        (("--up", "z", "--path", "cameras"), ("--up", "orbit", "cameras")),
        (("--up", "z", "--path", "path.json"), ("--up", "orbit", "path.json")),
        (("--show", "rgb", "--format", "png", "exr"), ("--format", "png exr")),
        (("--fov", "90"), ("--fov", "fisheye")),
        (("--projection", "fisheye", "--fov", "361"), ("--fov", "360", "361")),
        (("--projection", "fisheye", "--fov", "nan"), ("--fov", "nan")),
        (("--format", "webp", "--size", "16384x1"), ("--size", "16383")),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    splats: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    facts: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
):
    target = tmp_path / "out"
    assert main(["render", str(splats), "-o", str(target), *options]) == BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for fact in facts:
        assert fact in said
    assert not target.exists()


@pytest.mark.parametrize("projection", ["equirectangular", "fisheye"])
def test_a_picture_for_which_there_is_no_memory_is_refused_in_one_line(
    splats: Path,
    tmp_path: Path,
    projection: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    words = ["render", str(splats), "-o", str(tmp_path / "out"), "--device", "cpu"]
    words += ["--projection", projection, "--fps", "1", "--seconds", "1"]
    assert main([*words, "--size", "99999x99999"]) == BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--size: 99999x99999 as {projection} takes about" in said
    monkeypatch.setattr("gaborsplat.commands.render.free_memory", lambda _: 1_000_000)
    assert main([*words, "--size", "200x100"]) == BAD_INPUT
    assert "GB are free on cpu" in capsys.readouterr().err
    assert main([*words, "--size", "20x10"]) == DONE


@pytest.mark.parametrize("options", [("--format", "exr"), ("--background", "transparent")])
def test_what_a_video_cannot_hold_is_refused(
    splats: Path, tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    film = tmp_path / "film.mp4"
    assert main(["render", str(splats), "-o", str(film), *options]) == BAD_INPUT
    assert options[0] in capsys.readouterr().err
    assert not film.exists()

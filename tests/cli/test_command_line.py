"""The commands, end to end, on the capture that ships with the package and a few steps."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import gsply
import numpy as np
import plyfile
import pytest
import torch

import gaborsplat as gs
from gaborsplat import camera_path
from gaborsplat.cli import BAD_INPUT, DONE, FAILED, INTERRUPTED, main
from gaborsplat.inputs.loading import load_scene
from gaborsplat.scenes import demo_path
from gaborsplat.viewer.camera import Bounds

QUICK = ["--max-size", "96", "--max-splats", "1500", "--no-viewer"]


def train(out: Path, *options: str) -> int:
    return main(["train", str(demo_path()), "--out", str(out), *QUICK, *options])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with two waves per splat."""
    out = tmp_path_factory.mktemp("runs") / "demo"
    assert train(out, "--steps", "40", "--gabor", "2", "--eval-every", "20") == DONE
    return out


def test_a_run_folder_holds_what_the_interface_promises(run: Path):
    config = json.loads((run / "config.json").read_text())
    assert config["train"]["gabor"] == 2
    assert config["train"]["seed"] == 0
    assert len(config["capture"]) == 64
    assert config["split"]["test"] == ["DSC_0001.JPG", "DSC_0009.JPG"]
    assert len(config["split"]["train"]) == 10
    assert config["versions"]["torch"] == torch.__version__

    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["step"] == 40
    assert metrics["train_seconds"] > 0
    assert metrics["splats"] == len(gs.load_splats(run / "splats.ply"))
    assert metrics["test"]["lpips"] is None
    assert set(metrics["per_image"]) == set(config["split"]["test"])
    mean = np.mean([image["psnr"] for image in metrics["per_image"].values()])
    assert metrics["test"]["psnr"] == pytest.approx(mean)

    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert "test_psnr" in lines[1]
    for name in config["split"]["test"]:
        picture = cv2.imread(str(run / "test" / f"{name}.png"))
        height, width = picture.shape[:2]
        assert (width, height) == (3 * 64, 96)


def test_other_programs_read_the_result(run: Path):
    splats = gs.load_splats(run / "splats.ply")
    seen = gsply.plyread(run / "splats.ply")
    np.testing.assert_allclose(seen.means, splats.means, rtol=1e-6)
    table = plyfile.PlyData.read(run / "splats.ply")["vertex"]
    names = table.data.dtype.names
    assert names[:6] == ("x", "y", "z", "nx", "ny", "nz")
    assert names[62:64] == ("gabor_frequency_0_x", "gabor_frequency_0_y")
    np.testing.assert_allclose(table["gabor_coefficient_1_sin"], splats.coefficients[:, 1, 1])


def test_evaluating_a_run_gives_the_metrics_it_ended_with(run: Path):
    before = json.loads((run / "metrics.json").read_text())
    assert main(["eval", str(run)]) == DONE
    after = json.loads((run / "metrics.json").read_text())
    assert after["test"]["psnr"] == pytest.approx(before["test"]["psnr"], abs=1e-3)
    assert after["step"] == before["step"]


def test_baked_exports_have_no_waves_and_state_what_is_lost(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "baked.ply"
    assert main(["export", str(run), "-o", str(path), "--bake", "--verify"]) == DONE
    assert gs.load_splats(path).waves == 0
    said = capsys.readouterr().out
    assert "dB lost" in said
    assert re.search(
        r"Read back and shown as it says: \d+\.\d\d dB PSNR on 2 views of the run", said
    )
    assert "waves: 2 a splat before, 0 in the file" in said
    assert main(["export", str(path), "-o", str(tmp_path / "baked.spz"), "--verify"]) == DONE
    assert "agree with the original" in capsys.readouterr().out
    assert main(["export", str(path), "-o", str(tmp_path / "baked.splat")]) == DONE
    assert len(gs.load_splats(tmp_path / "baked.splat")) == len(gs.load_splats(path))


@pytest.mark.slow
def test_baking_under_a_budget_says_what_either_way_loses(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    count = len(gs.load_splats(run / "splats.ply"))
    path = tmp_path / "split.ply"
    options = ["--bake", "--budget", str(count + 100)]
    assert main(["export", str(run), "-o", str(path), *options]) == DONE
    printed = capsys.readouterr().out
    assert "damped to the mean: " in printed
    assert f"split into {count + 100:,} Gaussians: " in printed
    lost = [float(line.split(" dB, ")[1].split()[0]) for line in printed.splitlines()[:2]]
    assert lost[1] < lost[0] + 0.05
    splats = gs.load_splats(path)
    assert (splats.waves, len(splats)) == (0, count + 100)

    ply = tmp_path / "gabor.ply"
    assert main(["export", str(run), "-o", str(ply)]) == DONE
    assert main(["export", str(ply), "-o", str(path), "--bake"]) == DONE
    assert "agrees with the original" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--budget", "9999"), "--budget says how to --bake"),
        (("--bake", "--budget", "1"), "--budget: must be at least the"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(
    options: tuple[str, ...],
    message: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    path = tmp_path / "never.ply"
    assert main(["export", str(run), "-o", str(path), *options]) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert not path.exists()


def test_pictures_can_show_other_things_and_two_runs_at_once(run: Path, tmp_path: Path):
    bare = tmp_path / "bare.ply"
    gs.save_splats(gs.load_splats(run / "splats.ply").without_waves(), bare)
    way = ["--path", "cameras", "--size", "64x48", "--seconds", "0.2", "--fps", "10"]

    def shown(name: str, *options: str) -> np.ndarray:
        folder = tmp_path / name
        assert main(["render", str(run), "-o", str(folder), *way, *options]) == DONE
        return cv2.imread(str(folder / "00000.png")).astype(int)

    full, plain = shown("full"), shown("plain", "--no-waves")
    both = shown("both", "--beside", str(bare))
    assert np.abs(full - plain).max() > 3
    assert np.abs(both[:, :32] - full[:, :32]).max() <= 1
    assert np.abs(both[:, 32:] - plain[:, 32:]).max() <= 1
    waves = shown("waves", "--show", "frequency", "--beside", str(bare))
    assert waves[:, :32].max() > 20
    assert not waves[:, 32:].any()  # there are none
    alpha = shown("alpha", "--show", "alpha")
    assert (alpha[..., 0] == alpha[..., 1]).all()


def test_camera_paths_become_videos_and_pictures(run: Path, tmp_path: Path):
    film = tmp_path / "film.mp4"
    options = ["--seconds", "0.5", "--fps", "10"]
    assert main(["render", str(run), "-o", str(film), *options]) == DONE
    reader = cv2.VideoCapture(str(film))
    assert int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == 5
    reader.release()

    folder = tmp_path / "frames"
    way = ["--path", "cameras", "--size", "50x40"]
    assert main(["render", str(run), "-o", str(folder), *way, *options]) == DONE
    pictures = [cv2.imread(str(path)) for path in sorted(folder.glob("*.png"))]
    assert [picture.shape for picture in pictures] == [(40, 50, 3)] * 5
    assert np.abs(pictures[0].astype(float) - pictures[-1]).mean() > 1

    path = tmp_path / "path.json"
    pose = np.diag([1.0, -1.0, -1.0, 1.0]).ravel().tolist()  # OpenGL axes: our camera at zero
    path.write_text(json.dumps({"camera_path": [{"camera_to_world": pose, "fov": 50}]}))
    alone = tmp_path / "alone"
    assert main(["render", str(run), "-o", str(alone), "--path", str(path), *way[2:]]) == DONE
    splats = gs.load_splats(run / "splats.ply")
    focal = 20 / np.tan(np.radians(25))
    k = torch.tensor([[focal, 0, 25], [0, focal, 20], [0, 0, 1]], dtype=torch.float32)
    expected = gs.render(splats, gs.Camera(torch.eye(4), k, (50, 40))).color.clamp(0, 1)
    shown = cv2.imread(str(alone / "00000.png"))[..., ::-1] / 255.0
    np.testing.assert_allclose(shown, expected, atol=0.51 / 255)


def test_a_camera_paths_file_says_how_fast_and_large_its_video_is(run: Path, tmp_path: Path):
    pose = np.diag([1.0, -1.0, -1.0, 1.0]).ravel().tolist()
    frames = 3 * [{"camera_to_world": pose, "fov": 50}]
    said = {"fps": 12, "render_width": 64, "render_height": 49}
    path, film = tmp_path / "path.json", tmp_path / "film.mp4"
    path.write_text(json.dumps({"camera_path": frames, **said}))

    def filmed(*options: str) -> tuple[float, ...]:
        command = ["render", str(run), "-o", str(film), "--path", str(path), *options]
        assert main(command) == DONE
        reader = cv2.VideoCapture(str(film))
        asked = (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        got = tuple(reader.get(each) for each in asked)
        reader.release()
        return got

    assert filmed() == (12, 64, 48)
    assert filmed("--fps", "20", "--size", "32x16") == (20, 32, 16)


def test_doctor_knows_the_machine_and_the_capture(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", str(demo_path()), "--max-size", "96"]) == DONE
    said = capsys.readouterr().out
    for fact in ("torch", "isa", "10 to train on, 2 to test", "64x96", "draft"):
        assert fact in said


def test_doctor_fails_on_what_cannot_be_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", str(tmp_path)]) == FAILED
    assert "cannot train" in capsys.readouterr().out


@pytest.mark.slow
def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path):
    options = ["--steps", "300", "--gabor", "1", "--eval-every", "0", "--checkpoint-every", "90"]
    assert train(tmp_path / "whole", *options) == DONE
    process = start(tmp_path / "parts", *options)
    wait_for_step(tmp_path / "parts", 90)
    process.send_signal(signal.SIGINT)
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, complaint
    assert "--resume" in said
    assert len(gs.load_splats(tmp_path / "parts" / "splats.ply")) > 0
    assert not (tmp_path / "parts" / "metrics.json").exists()
    assert resume(tmp_path / "parts") == DONE
    whole, parts = (gs.load_splats(tmp_path / name / "splats.ply") for name in ("whole", "parts"))
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, parts.tensors()[name]), name


def resume(out: Path, *options: str, scene: Path | None = None) -> int:
    place = ["--out", str(out), "--no-viewer"]
    return main(["train", str(scene or demo_path()), "--resume", *place, *options])


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    command = ["-m", "gaborsplat", "train", str(demo_path()), "--out", str(out), *QUICK, *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def wait_for_step(out: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while not list(out.glob(f"checkpoints/step-{step:08d}.pt")):
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.01)


def test_an_existing_run_is_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]):
    before = (run / "splats.ply").read_bytes()
    assert train(run, "--steps", "1") == BAD_INPUT
    assert "holds a run already" in capsys.readouterr().err
    assert (run / "splats.ply").read_bytes() == before


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_settings_of_a_resumed_run_come_from_the_run(
    copy: Path, capsys: pytest.CaptureFixture[str]
):
    assert resume(copy, "--steps", "45", "--seed", "3") == BAD_INPUT
    assert "it was trained with seed = 0, not 3" in capsys.readouterr().err
    assert resume(copy, "--steps", "45") == DONE
    config = json.loads((copy / "config.json").read_text())
    assert (config["max_size"], config["train"]["max_splats"]) == (96, 1500)
    assert json.loads((copy / "metrics.json").read_text())["step"] == 45


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    copy: Path, capsys: pytest.CaptureFixture[str]
):
    assert resume(copy, "--steps", "42") == DONE
    newest = copy / "checkpoints" / "step-00000042.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    assert resume(copy, "--steps", "43") == DONE
    assert "step-00000040.pt" in capsys.readouterr().err
    for checkpoint in (copy / "checkpoints").iterdir():
        checkpoint.write_bytes(b"damaged")
    assert resume(copy, "--steps", "44") == BAD_INPUT


def test_a_run_stopped_before_its_first_checkpoint_begins_again(copy: Path):
    shutil.rmtree(copy / "checkpoints")
    assert resume(copy, "--steps", "5") == DONE
    assert json.loads((copy / "metrics.json").read_text())["step"] == 5


def test_a_run_goes_on_with_its_own_capture_only(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    capture = Path(shutil.copytree(demo_path(), tmp_path / "capture"))
    assert resume(copy, "--steps", "41", scene=capture) == DONE
    with (capture / "sparse" / "0" / "points3D.bin").open("r+b") as file:
        file.seek(16)
        file.write(b"\1")
    before = (copy / "splats.ply").read_bytes()
    assert resume(copy, "--steps", "42", scene=capture) == BAD_INPUT
    assert main(["eval", str(copy)]) == BAD_INPUT
    assert "capture" in capsys.readouterr().err
    assert (copy / "splats.ply").read_bytes() == before


def test_a_file_is_shown_as_it_was_trained(tmp_path: Path):
    out = tmp_path / "antialiased"
    assert train(out, "--steps", "3", "--antialiased") == DONE
    assert main(["export", str(out / "splats.ply"), "-o", str(tmp_path / "copy.ply")]) == DONE
    scene = load_scene(tmp_path / "copy.ply")
    assert scene.settings.antialiased
    assert len(scene.splats) == 1500


def test_a_nadir_view_can_be_orbited():
    k = torch.tensor([[50.0, 0, 25], [0, 50, 20], [0, 0, 1]])
    # Both look along -y, the default "up" of cameras that have none in common.
    headings = [[[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], [[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]]
    cameras: list[gs.Camera] = []
    for heading in headings:
        pose = torch.eye(4)
        pose[:3, :3] = torch.tensor(heading)
        cameras.append(gs.Camera(pose, k, (50, 40)))
    bounds = Bounds(np.array([0.0, -5.0, 0.0]), 1.0)
    for view in camera_path.orbit(cameras, bounds, 4, (50, 40)):
        assert torch.isfinite(view.world_to_camera).all()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "view"])
def test_the_page_is_served_until_ctrl_c(run: Path, tmp_path: Path, command: str):
    out = tmp_path / "out"
    small = ["--max-size", "64", "--max-splats", "500", "--steps", "5"]
    words = {"train": [str(demo_path()), "--out", str(out), *small], "view": [str(run)]}[command]
    line = [sys.executable, "-m", "gaborsplat", command, *words, "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C ends it" not in said:  # the result stands
            said += process.stdout.readline() or pytest.fail(said)
        address = re.search(r"http://[\d.:]+", said)
        assert address is not None, said
        with urllib.request.urlopen(address[0], timeout=30) as page:
            assert b"<html" in page.read().lower()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == INTERRUPTED
    assert command == "view" or (out / "metrics.json").exists()

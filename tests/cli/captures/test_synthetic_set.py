"""Blender's synthetic sets: photos with alpha, no points, a split of their own."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fitting import blobs, looking_at_origin

from gaborsplat.cli import DONE, main
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render
from gaborsplat.run_folder import RunFolder
from gaborsplat.scenes import load_capture

SIZE = (80, 60)
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
OPTIONS = ["--steps", "900", "--max-splats", "1500", "--gabor", "0", "--no-viewer"]
MAGENTA = (255, 0, 255)


def camera(index: int) -> Camera:
    turn, height = 0.47 * index, math.sin(1.3 * index)
    return looking_at_origin((4 * math.sin(turn), height, -4 * math.cos(turn))).resized(SIZE)


def write_set(folder: Path, under: tuple[int, int, int] | None) -> Path:
    """Blobs before nothing, with a colour `under` what is transparent, or black."""
    scene = replace(blobs(60), scales=0.5 * blobs(60).scales, opacities=torch.full((60,), 0.95))
    for part, indices in (("train", range(24)), ("test", range(24, 28))):
        frames: list[dict[str, object]] = []
        (folder / part).mkdir(parents=True)
        for index in indices:
            shown = render(scene, camera(index))
            alpha = shown.alpha.numpy()
            colors = shown.color.numpy() / np.maximum(alpha, 1e-3)[..., None]
            pixels = np.dstack([colors.clip(0, 1), alpha]) * 255
            if under is not None:
                pixels[pixels[..., 3] < 0.5, :3] = under
            bgra = pixels.round().astype(np.uint8)[..., [2, 1, 0, 3]]
            cv2.imwrite(str(folder / part / f"r_{index}.png"), bgra)
            pose = np.linalg.inv(camera(index).world_to_camera.double().numpy()) @ OPENGL
            frame = {"file_path": f"./{part}/r_{index}", "transform_matrix": pose.tolist()}
            frames.append(frame)
        angle = 2 * math.atan(SIZE[0] / 2 / float(camera(0).intrinsics[0, 0]))
        document = {"camera_angle_x": angle, "frames": frames}
        (folder / f"transforms_{part}.json").write_text(json.dumps(document))
    return folder


def trained(folder: Path, under: tuple[int, int, int] | None) -> RunFolder:
    scene = write_set(folder / "set", under)
    assert main(["train", str(scene), "--out", str(folder / "run"), *OPTIONS]) == DONE
    return RunFolder(folder / "run")


@pytest.mark.slow
def test_a_set_is_fitted_whatever_colour_is_under_its_alpha_and_stands_free(tmp_path: Path):
    black, magenta = trained(tmp_path / "black", None), trained(tmp_path / "magenta", MAGENTA)
    usual, found = (run.metrics()["test"]["psnr"] for run in (black, magenta))
    assert usual > 22
    assert found == pytest.approx(usual, abs=0.3)
    capture = load_capture(tmp_path / "magenta" / "set")
    assert (len(capture.train), len(capture.test)) == (24, 4)
    haze: list[torch.Tensor] = []
    for view in capture.views:
        alpha = view.alpha()
        assert alpha is not None
        seen = render(magenta.splats(), view.camera, magenta.render_settings()).alpha
        haze.append(seen[alpha == 0])
    assert float(torch.cat(haze).mean()) < 0.02

"""The captures that benchmarks/gabor/textures.py makes up: what they say of themselves is so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.gabor import gabor_tables as tables
from benchmarks.gabor import raycaster, textures
from gaborsplat.renderer.rotations import to_matrices, to_quaternions
from gaborsplat.scenes import load_capture


@pytest.fixture(autouse=True)
def _few_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textures, "VIEWS", 3)


@pytest.mark.parametrize("name", textures.CAPTURES)
def test_points_have_the_colour_that_the_photos_show_there(name: str, tmp_path: Path):
    textures.write_capture(tmp_path, textures.CAPTURES[name](), (96, 72), seed=0)
    capture = load_capture(tmp_path)
    assert len(capture.views) == 3
    view = capture.views[1]
    camera, image = view.camera, view.image().float()
    points = capture.points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    pixels = points @ camera.intrinsics.T
    pixels = (pixels[:, :2] / pixels[:, 2:]).floor().long()
    inside = ((pixels >= 0) & (pixels < torch.tensor(camera.size))).all(dim=1) & (points[:, 2] > 0)
    assert inside.float().mean() > 0.3
    x, y = pixels[inside].unbind(1)
    error = (image[y, x] - capture.point_colors[inside]).abs().mean(dim=1)
    # Fine textures and what other things hide aside, a photo agrees with most of its points.
    guess = (image[y, x].flip(0) - capture.point_colors[inside]).abs().mean(dim=1)
    assert error.median() < 0.85 * guess.median()


def test_one_seed_makes_one_capture(tmp_path: Path):
    for folder in ("a", "b"):
        textures.write_capture(tmp_path / folder, textures.fence(), (32, 24), seed=4)
    for path in (tmp_path / "a").rglob("*.*"):
        twin = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == twin.read_bytes()


def test_only_the_captures_that_are_named_are_written(tmp_path: Path):
    textures.write_suite(tmp_path, 32, names=["fence", "cloth"])
    assert {path.name for path in tmp_path.iterdir()} == {"fence", "cloth"}
    loaded = textures.load(tmp_path / "fence", 32)
    assert [view.name for view in loaded.test] == ["000.png"]
    assert len(loaded.train) == 2


@pytest.mark.parametrize("turn", [0.0, 1.0, 2.5])
def test_poses_survive_being_quaternions(turn: float):
    matrix = textures.camera_at(turn, 0.4, 3.0)[None, :3, :3]
    assert torch.allclose(to_matrices(to_quaternions(matrix)), matrix, atol=1e-5)
    w, x, y, z = to_quaternions(matrix)[0].double()
    by_hand = textures.vector(0, 0, 1).double()  # the camera's axis: R^T e is row 2 of R
    row = torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
    assert torch.allclose(row, by_hand @ matrix[0].double(), atol=1e-5)


def test_rays_hit_where_surfaces_are():
    plain = textures.plain(1.0, 0.0, 0.0)
    ball = raycaster.Ball(torch.zeros(3), 0.5, plain)
    pillar = raycaster.Pillar(torch.zeros(3), 0.5, 1.0, plain)
    across, up = torch.eye(3)[:2]
    quad = raycaster.Quad(torch.zeros(3), across, up, plain)
    origin = torch.tensor([0.0, 0.0, 3.0])
    ahead, aside = torch.tensor([[0.0, 0.0, -1.0]]), torch.tensor([[0.6, 0.0, -0.8]])
    slanted = torch.tensor([[0.0, 0.1, -1.0]])
    slanted = slanted / slanted.norm()
    for surface, distance in ((ball, 2.5), (pillar, 2.5), (quad, 3.0)):
        assert surface.distance(origin, ahead).item() == pytest.approx(distance)
        assert surface.distance(origin, aside).isinf().all()
        assert surface.distance(origin, -ahead).isinf().all()
    point = origin + pillar.distance(origin, slanted)[:, None] * slanted
    assert point[0, [0, 2]].norm().item() == pytest.approx(0.5, rel=1e-5)
    point = origin + ball.distance(origin, slanted)[:, None] * slanted
    assert point.norm().item() == pytest.approx(0.5, rel=1e-5)


def runs() -> tables.Runs:
    """Gaussians that gain 2 dB with every doubling of bytes, and waves that are 1 dB better."""
    made: tables.Runs = []
    for seed in (0, 1):
        for count in (1000, 2000, 4000):
            for gabor in (0, 2):
                size = count * 4 * (59 + 5 * gabor)
                psnr = 20 + 2 * torch.tensor(size / 1e5).log2().item() + (1.0 if gabor else 0.0)
                made.append(
                    {
                        **{"capture": "a", "gabor": gabor, "splats": count, "strategy": "mcmc"},
                        **{"seed": seed, "steps": 10, "variant": "", "bytes": size},
                        **{"psnr": psnr + 0.1 * seed, "ssim": 0.9, "flip": 0.1},
                        **{"fine_psnr": 30.0, "far_psnr": 30.0, "seconds": 1.0 + 0.2 * gabor},
                    }
                )
    return made


def test_equal_bytes_are_found_between_sizes():
    text = tables.markdown(runs())
    section = text.split("### Equal bytes")[1].split("###")[0]
    rows = [line.split("|")[-2].strip() for line in section.splitlines() if "mcmc" in line]
    # The largest has more bytes than any Gaussian.
    assert rows == ["+1.00", "+1.00", tables.UNKNOWN]
    saved = text.split("### Bytes saved")[1].split("###")[0]
    assert "29 %" in saved  # 1 - 2^-0.5
    assert "+1.45 (+1.45 to +1.45)" in text  # 1 dB, and what 17 % more bytes are worth
    assert "| other captures | 1000 | mcmc | 10 | 2 | +1.45 (+1.45) | +1.00 (+1.00) |" in text


def test_waves_that_lose_are_shown_losing():
    worse = [run | {"psnr": run["psnr"] - (6 if run["gabor"] else 0)} for run in runs()]
    text = tables.markdown(worse)
    saved = text.split("### Bytes saved")[1].split("###")[0]
    rows = [line.split("|")[-2].strip() for line in saved.splitlines() if "mcmc" in line]
    assert len(rows) == 3
    assert rows[0].startswith("< -")
    assert all("-" in row for row in rows)
    assert "-4.55 (-4.55 to -4.55)" in text


def test_a_line_between_points_has_no_value_beyond_them():
    points = [(1.0, 0.0), (4.0, 2.0)]
    assert tables.between(points, 2.0) == pytest.approx(1.0)
    assert tables.between(points, 0.5) is None
    assert tables.between(points, 5.0) is None
    assert tables.between([], 1.0) is None

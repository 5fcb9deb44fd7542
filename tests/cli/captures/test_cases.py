"""Captures that went wrong for people, rebuilt by a script that is kept beside the repository: each
is trained as well as the scene that it was made from, or says in one line what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from gaborsplat.cli import BAD_INPUT, DONE, main
from gaborsplat.run_folder import RunFolder

OPTIONS = ["--steps", "60", "--max-size", "160", "--max-splats", "8000", "--no-viewer"]
# Which photos are asked where they are wrong, and rates that fall, move so short a run by more than
# the damage does.
OPTIONS += ["--exchange", "0", "--learning-rates.final", "1"]
LOSS = 0.3
"""What damage that costs no content may cost [dB]."""


class Outcome(NamedTuple):
    """What becomes of a capture.

    Attributes:
        psnr: least on the test views [dB]; None for that of the intact scene, less LOSS.
        said: a part of what is said.
        code: exit status.
    """

    psnr: float | None = None
    said: str = ""
    code: int = DONE


INTACT = "upper"  # only the case of its photos' endings differs
TOLD = {
    "absolute": Outcome(),
    "dotdot": Outcome(),
    "tiny": Outcome(),
    "giant": Outcome(),
    "ecef": Outcome(said="moved the scene to zero"),
    "c2w": Outcome(0.0, "nothing to do with the photos"),
    "mixed": Outcome(15.0, "left out all 7521 points"),
    "badlens": Outcome(0.0, "of the pixels of"),
    "badlens2": Outcome(0.0, "of the pixels of"),
    "rot180": Outcome(0.0, "turned by 180 degrees"),
    "lin12": Outcome(said="took 4095 for white"),
    "outliers": Outcome(said="of the points lie more than"),
    "truncated": Outcome(said="left out DSC_0428.jpg"),
    "zero": Outcome(said="the file is empty"),
    "missing": Outcome(said="left out DSC_0426.jpg: no such photo"),
    "checkpointdir": Outcome(said="left out .ipynb_checkpoints/"),
    "otherext": Outcome(said="with another ending"),
    "symlink": Outcome(said="by their file name alone"),
    "nested": Outcome(),
    "maskonly": Outcome(said="masks are no photos", code=BAD_INPUT),
    "workspace": Outcome(said="dense/0/sparse: took this model and its photos"),
    "rgba": Outcome(24.0, "masks of 16 of 16 photos (16 alpha channels)"),
    "masks": Outcome(24.0, "masks of 16 of 16 photos (16 files"),
    "cutout": Outcome(24.0, "16 alpha channels"),
    "exif": Outcome(said="as their EXIF says"),
    "rotated": Outcome(said="it is turned, and its EXIF does not say how"),
    "crop": Outcome(said="the photo is 458 x 318, but its camera is 956 x 636"),
    "huge2": Outcome(24.0),
    "wide": Outcome(15.0),
    "plyonly": Outcome(said="took the points of points3D.ply"),
    "halftext": Outcome(said="took the points of points3D.txt"),
    "both": Outcome(14.0, "the model is there twice"),
    "lidar": Outcome(14.0, "of 400,000 points, spread evenly"),
    "dense": Outcome(),
    "input": Outcome(),
    "images4": Outcome(said="took these smaller photos"),
    "transforms": Outcome(17.0, "went on without points"),
    "fisheye": Outcome(),
    "fov": Outcome(),
    "thin": Outcome(),
    "equi": Outcome(0.0, "cut 16 panoramas"),
    "spherical": Outcome(0.0, "cut 16 panoramas"),
    "写真 été (1)": Outcome(),
    "rig": Outcome(18.0),
    "gray16": Outcome(),
    "formats": Outcome(),
    "offcentre": Outcome(),
    "prefix": Outcome(17.0),
    "three": Outcome(24.0),
    "two": Outcome(said="2 usable images; at least 3 are needed", code=BAD_INPUT),
    "panorama": Outcome(12.0),
    "tripod": Outcome(16.0),
    "pano360": Outcome(18.0),
    "line": Outcome(11.0),
    "owncams": Outcome(),
}


@pytest.fixture(scope="module")
def cases(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = shared_data.parent / "cases" / "captures.py"
    if not script.is_file():
        pytest.skip(f"the captures are built by {script}, which this machine does not have")
    folder = tmp_path_factory.mktemp("cases")
    command = [sys.executable, script.name, str(folder)]
    subprocess.run(command, cwd=script.parent, check=True, capture_output=True)
    return folder


def psnr_of(capture: Path, out: Path) -> float:
    assert main(["train", str(capture), "--out", str(out), *OPTIONS]) == DONE
    return float(RunFolder(out).metrics()["test"]["psnr"])


@pytest.fixture(scope="module")
def intact(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    return psnr_of(cases / INTACT, tmp_path_factory.mktemp("intact") / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
def test_a_capture_is_trained_as_well_as_it_can_be_or_told_what_is_wrong(
    name: str,
    cases: Path,
    intact: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    expected = TOLD[name]
    if expected.code == DONE:
        least = intact - LOSS if expected.psnr is None else expected.psnr
        assert psnr_of(cases / name, tmp_path / "run") > least
    else:
        assert main(["train", str(cases / name), "--out", str(tmp_path / "run"), *OPTIONS]) == (
            expected.code
        )
    said = " ".join((capsys.readouterr().err + caplog.text).split())
    assert expected.said in said
    assert "Traceback" not in said
    if expected.psnr == 0:
        assert main(["doctor", str(cases / name), "--no-trial", "--max-size", "160"]) == DONE
        found = capsys.readouterr().out
        assert expected.said in " ".join(found.split())
        assert "nothing to repair" not in found
    assert set(tmp_path.iterdir()) <= {tmp_path / "run"}


@pytest.mark.slow
def test_every_case_has_an_outcome(cases: Path):
    assert {path.name for path in cases.iterdir()} == {*TOLD, INTACT}

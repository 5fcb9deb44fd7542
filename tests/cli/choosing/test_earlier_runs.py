"""Runs that earlier versions began."""

from __future__ import annotations

import json
from pathlib import Path

from gaborsplat.cli import DONE, main
from gaborsplat.run_folder import RunFolder
from gaborsplat.scenes import demo_path

SMALL = ["--max-size", "64", "--max-splats", "300", "--no-viewer", "--device", "cpu"]
LATER = ("exposure", "refine_poses", "exchange", "time", "expected_steps", "coarse_to_fine")


def test_a_run_from_before_a_setting_goes_on_as_it_would_have(tmp_path: Path):
    out = tmp_path / "run"
    assert main(["train", str(demo_path()), "--out", str(out), *SMALL, "--steps", "5"]) == DONE
    path = out / "config.json"
    document = json.loads(path.read_text())
    for name in LATER:
        del document["train"][name]
    del document["train"]["learning_rates"]["final"]
    for name in ("exposure", "sh_degree_asked", "near_plane", "masks", "mask_mode", "masked"):
        document.pop(name, None)
    path.write_text(json.dumps(document))
    assert main(["train", "--resume", "--out", str(out), "--steps", "7", "--no-viewer"]) == DONE
    config = RunFolder(out).train_config()
    assert (config.exposure, config.refine_poses, config.exchange) == ("off", "off", 0.0)
    assert (config.time, config.learning_rates.final) == (None, 1.0)
    assert json.loads((out / "metrics.json").read_text())["step"] == 7

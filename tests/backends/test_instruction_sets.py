"""The CPU passes are compiled once per instruction set; all of them draw the same picture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic
import torch
from tolerances import GRADIENT_FLOAT, IMAGE, assert_close

from gaborsplat.renderer import _native
from gaborsplat.renderer.reference import render_reference
from gaborsplat.renderer.settings import RenderSettings

pytestmark = pytest.mark.slow

PROGRAM = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import synthetic
from gaborsplat.renderer.raster.render import render
from gaborsplat.renderer.splats import Splats

splats = Splats(**torch.load(sys.argv[2])).map(lambda tensor: tensor.requires_grad_())
color = render(splats, synthetic.camera().to(torch.float32)).color
color.square().sum().backward()
gradients = {name: tensor.grad for name, tensor in splats.tensors().items()}
torch.save((color.detach(), gradients), sys.argv[3])
"""


def run(isa: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """PROGRAM in a process of its own: the choice is made once per process."""
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(Path(synthetic.__file__).parent),
        *map(str, arguments),
    ]
    environment = {**os.environ, "GABORSPLAT_ISA": isa}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_every_instruction_set_matches_the_oracle(isa: str, waves: int, tmp_path: Path):
    splats = synthetic.cloud(80, waves, degree=1, seed=waves)
    torch.save(splats.to(torch.float32).tensors(), tmp_path / "splats.pt")
    result = run(isa, tmp_path / "splats.pt", tmp_path / "result.pt")
    if "this processor runs" in result.stderr:
        pytest.skip(f"this processor has no {isa}")
    assert result.returncode == 0, result.stderr
    color, gradients = torch.load(tmp_path / "result.pt")

    exact = splats.map(lambda tensor: tensor.requires_grad_())
    expected = render_reference(exact, synthetic.camera(), RenderSettings()).color
    assert_close(color, expected, IMAGE)
    expected.square().sum().backward()
    for name, tensor in exact.tensors().items():
        if tensor.numel() == 0:  # no waves
            continue
        assert tensor.grad is not None
        difference = (gradients[name] - tensor.grad).abs()
        assert (difference <= GRADIENT_FLOAT * tensor.grad.abs().amax()).all(), name


def test_an_unknown_instruction_set_is_named_with_those_that_run(tmp_path: Path):
    torch.save(synthetic.cloud(3, 0).to(torch.float32).tensors(), tmp_path / "splats.pt")
    result = run("altivec", tmp_path / "splats.pt", tmp_path / "result.pt")
    assert result.returncode != 0
    assert "GABORSPLAT_ISA is 'altivec'; this processor runs: portable" in result.stderr
    assert _native.cpu.isa() in result.stderr

"""`gaborsplat` is the only name that is taken: what lies beside a script is the script's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import gaborsplat as gs, renderer, scenes, viewer
print(gs.pick_device("cpu"), renderer.MINE, scenes.MINE, viewer.MINE)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with modules that are called as rooms of ours are."""
    for name in ("viewer.py", "renderer/__init__.py", "scenes/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("MINE = True\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["script.py"], "cpu True True True"),
        (["-m", "gaborsplat", "doctor"], "gaborsplat"),
        (["-c", "import gaborsplat.viewer, gaborsplat.scenes; print('found')"], "found"),
    ],
)
def test_modules_beside_a_script_change_nothing(folder: Path, words: list[str], said: str):
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_the_folder_that_holds_a_checkout_is_not_searched_for_modules(tmp_path: Path):
    code = "import gaborsplat, sys; print('\\n'.join(sys.path))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    checkout = Path(__file__).resolve().parents[2]
    assert str(checkout.parent) not in done.stdout.splitlines()

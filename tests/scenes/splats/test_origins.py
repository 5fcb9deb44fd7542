"""Where a scene lies is not lost, whatever format it is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.campaigns.fuzz_splats import random_splats
from gaborsplat.scenes import WRITABLE, InputError, load_splat_file, save_splats


@pytest.mark.parametrize("ending", WRITABLE)
def test_an_origin_stays_with_the_splats_in_every_format(tmp_path: Path, ending: str):
    splats, origin = random_splats(), (4.5e5, -5.2e6, 0.25)
    path = tmp_path / f"a{ending}"
    save_splats(splats, path, origin=origin)
    assert load_splat_file(path).origin == pytest.approx(origin)
    save_splats(splats, path)
    assert load_splat_file(path).origin == (0, 0, 0)
    assert not path.with_name(f"{path.name}.origin.json").exists()


def test_a_damaged_origin_is_refused_and_named(tmp_path: Path):
    save_splats(random_splats(), tmp_path / "a.splat", origin=(1e6, 0, 0))
    (tmp_path / "a.splat.origin.json").write_text('{"origin": [1, "x", 3]}')
    with pytest.raises(InputError, match=r"a\.splat\.origin\.json: .*; remove it, or export again"):
        load_splat_file(tmp_path / "a.splat")

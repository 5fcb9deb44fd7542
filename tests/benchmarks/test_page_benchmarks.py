"""What the benchmarks of pages make of what they measure."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.page import fidelity, speed


def picture(value: float) -> fidelity.Image:
    return np.full((4, 5, 3), value, np.uint8)


def test_psnr_is_of_eight_bits_and_has_an_end():
    assert fidelity.alike(picture(10), picture(11)) == pytest.approx(48.13, abs=0.01)
    assert fidelity.alike(picture(10), picture(10)) == pytest.approx(100)


def test_the_waves_share_is_compared_and_not_what_lies_below_it():
    noise = np.random.default_rng(0).integers(0, 20, (2, 8, 9, 3)).astype(np.uint8)
    wanted = fidelity.Drawn([noise[0] + 100], [np.full_like(noise[0], 100)])
    ours = fidelity.Drawn([noise[0] + 60], [np.full_like(noise[0], 60)])
    other = fidelity.Drawn([noise[1] + 60], [np.full_like(noise[0], 60)])
    assert ours.against(wanted, "a")["a_worst_correlation"] == pytest.approx(1)
    assert abs(other.against(wanted, "a")["a_correlation"]) < 0.3
    assert "a_correlation" not in fidelity.Drawn([noise[0]], []).against(wanted, "a")


def test_frames_are_compared_with_the_peers_of_the_same_round():
    frames = {speed.PEER: [10.0, 20.0, 40.0], "0 waves": [20.0, 20.0, 60.0]}
    _, peer, ours = speed.table(frames)
    assert peer == [speed.PEER, "20.0", "1.00"]
    assert ours == ["0 waves", "20.0", "1.50"]
    assert speed.table({"0 waves": [20.0]})[1] == ["0 waves", "20.0", ""]

"""Files that somebody has damaged are read or refused, whatever their format."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from gaborsplat.scenes import InputError, load_splats


def assert_survives_damage(
    path: Path, data: st.DataObject, places: st.SearchStrategy[int] | None = None
) -> None:
    """Flips bits of bytes, at any of `places`, cuts the file, and reads it: that gives splats or an
    error of one line that begins with its path."""
    raw = bytearray(path.read_bytes())
    if places is None:
        places = st.integers(0, len(raw) - 1)
    for _ in range(data.draw(st.integers(0, 4), label="flips")):
        raw[data.draw(places, label="byte")] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)), label="length")])
    try:
        splats = load_splats(path)
    except InputError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
        return
    assert all(tensor.isfinite().all() for tensor in splats.tensors().values())

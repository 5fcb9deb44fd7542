"""What masks and alpha channels mask out does not reach images, masks, nor the splats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from colmap_files import photo, ring, write_capture
from PIL import Image

from gaborsplat.scenes import InputError, load_capture

SIZE = (64, 48)
INSIDE = (slice(8, 40), slice(10, 50))  # rows and columns that count
MAGENTA = (255, 0, 255)


def mask() -> np.ndarray:
    counts = np.zeros(SIZE[::-1], np.uint8)
    counts[INSIDE] = 255
    return counts


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").iterdir())


def masked_capture(folder: Path, place: Callable[[str], str], values: np.ndarray) -> Path:
    write_capture(ring(), folder)
    for name in names(folder):
        path = folder / place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    return folder


def cut_out(folder: Path, under: tuple[int, int, int] = MAGENTA, suffix: str = ".png") -> Path:
    """A capture of RGBA photos, with a colour where they are transparent."""
    write_capture(ring(), folder)
    for name in names(folder):
        colors = np.asarray(Image.open(folder / "images" / name).convert("RGB")).copy()
        colors[mask() == 0] = under
        Image.fromarray(np.dstack([colors, mask()]), "RGBA").save(folder / "images" / name)
    return folder


def counted(folder: Path, **options: object) -> np.ndarray:
    found = load_capture(folder, **options).views[0].mask()  # pyright: ignore[reportArgumentType]
    return np.ones(SIZE[::-1], bool) if found is None else found.numpy()


@pytest.mark.parametrize(
    "place",
    [
        lambda name: f"masks/{name}.png",  # COLMAP's
        lambda name: f"masks/{name}",
        lambda name: f"masks/{Path(name).stem}.bmp",
        lambda name: f"masks/{name.upper()}",
        lambda name: f"mask/{name}.png",
        lambda name: f"images/masks/{name}.png",
    ],
)
def test_masks_are_found_by_the_names_of_their_photos(tmp_path: Path, place: Callable[[str], str]):
    folder = masked_capture(tmp_path, place, mask())
    assert np.array_equal(counted(folder), mask() > 0)
    (line,) = [line for line in load_capture(folder).repairs if line.startswith("masks of ")]
    assert line.startswith("masks of 9 of 9 photos (9 files, the first ")
    assert "counts nowhere" in line and "\n" not in line
    assert counted(folder, masks="none").all()


@pytest.mark.parametrize(
    "values",
    [mask() // 255, mask().astype(np.uint16) * 257, mask() > 0],
    ids=["0 and 1", "16 bits", "1 bit"],
)
def test_whatever_is_not_black_counts_in_masks_of_any_depth(tmp_path: Path, values: np.ndarray):
    folder = masked_capture(tmp_path, lambda name: f"masks/{name}.png", values)
    assert np.array_equal(counted(folder), mask() > 0)


def test_a_folder_of_masks_can_be_named(tmp_path: Path):
    folder = masked_capture(tmp_path, lambda name: f"people/{name}.png", mask())
    assert counted(folder).all()
    assert np.array_equal(counted(folder, masks="people"), mask() > 0)
    with pytest.raises(InputError, match="no such folder of masks"):
        load_capture(folder, masks="persons")
    (folder / "none of them").mkdir()
    with pytest.raises(InputError, match=r"has no mask for any photo; .*0001\.png\.png"):
        load_capture(folder, masks="none of them")


def test_masks_of_another_size_are_scaled_and_of_another_shape_refused_for_their_photo(
    tmp_path: Path,
):
    large = np.repeat(np.repeat(mask(), 2, 0), 2, 1)
    folder = masked_capture(tmp_path, lambda name: f"masks/{name}.png", large)
    assert np.array_equal(counted(folder), mask() > 0)
    Image.fromarray(mask()[:20]).save(folder / "masks" / "0001.png.png")
    capture = load_capture(folder)
    assert capture.views[0].mask() is None
    assert capture.views[1].mask() is not None
    assert any("the mask is 64 x 20" in line for line in capture.repairs)


def test_a_photo_without_a_mask_counts_whole(tmp_path: Path):
    folder = masked_capture(tmp_path, lambda name: f"masks/{name}.png", mask())
    (folder / "masks" / "0002.png.png").unlink()
    capture = load_capture(folder)
    assert capture.views[1].mask() is None
    assert any(line.startswith("masks of 8 of 9 photos") for line in capture.repairs)


@pytest.mark.parametrize("max_size", [None, 32, 23])
@pytest.mark.parametrize("mode", ["ignore", "transparent"])
def test_colours_under_transparency_do_not_matter(tmp_path: Path, max_size: int | None, mode: str):
    first, second = (
        load_capture(cut_out(tmp_path / str(i), under), max_size=max_size, mask_mode=mode)  # pyright: ignore[reportArgumentType]
        for i, under in enumerate([MAGENTA, (0, 9, 0)])
    )
    for one, other in zip(first.views, second.views, strict=True):
        alpha = one.alpha()
        assert alpha is not None and torch.equal(alpha, other.alpha())
        seen = alpha > 2
        torch.testing.assert_close(one.image()[seen], other.image()[seen], atol=1, rtol=0)
        masks = (one.mask(), other.mask())
        assert (masks[0] is None) == (mode == "transparent")
        assert masks[0] is None or torch.equal(masks[0], masks[1])


def test_edges_of_what_counts_keep_their_colour_when_a_photo_is_shrunk(tmp_path: Path):
    whole = load_capture(write_capture(ring(), tmp_path / "whole"), max_size=23).views[0]
    view = load_capture(cut_out(tmp_path / "cut"), max_size=23).views[0]
    alpha = view.alpha()
    assert alpha is not None
    edge = (alpha > 100) & (alpha < 255)
    assert edge.any()
    difference = (view.image().int() - whole.image().int()).abs()
    assert difference[edge].float().mean() < 12  # magenta would be a hundred away


def test_the_viewer_is_shown_black_for_what_is_masked_out(tmp_path: Path):
    view = load_capture(cut_out(tmp_path)).views[0]
    shown = view.shown()
    assert not shown[torch.from_numpy(mask() == 0)].any()
    assert torch.equal(shown[INSIDE], view.image()[INSIDE])


def test_alpha_of_palettes_of_grey_and_of_16_bits_is_read(tmp_path: Path):
    write_capture(ring(), tmp_path)
    colors = photo(SIZE)
    layers = Image.fromarray(np.dstack([colors, mask()]), "RGBA")
    layers.quantize(64).save(tmp_path / "images" / "0001.png")
    layers.convert("LA").save(tmp_path / "images" / "0002.png")
    layers.save(tmp_path / "images" / "0003.webp", lossless=True)
    (tmp_path / "images" / "0003.png").unlink()
    opaque = Image.fromarray(np.dstack([colors, np.full_like(mask(), 255)]), "RGBA")
    opaque.save(tmp_path / "images" / "0004.png")
    views = load_capture(tmp_path).views
    for view in views[:3]:
        found = view.mask()
        assert found is not None and np.array_equal(found.numpy(), mask() > 0), view.name
    assert views[3].mask() is None


def test_a_mask_that_is_damaged_costs_its_photo_only_the_mask(tmp_path: Path):
    folder = masked_capture(tmp_path, lambda name: f"masks/{name}.png", mask())
    (folder / "masks" / "0002.png.png").write_bytes(b"GIF89a and no more")
    capture = load_capture(folder)
    assert len(capture.views) == 9
    assert capture.views[1].mask() is None
    assert any("0002.png.png" in line and "photo whole" in line for line in capture.repairs)

"""What masks and alpha channels mask out does not reach images, masks, nor the splats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from colmap_files import photo, ring, write_capture
from PIL import Image

from gaborsplat.scenes import InputError, check_photos, load_capture

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
    [mask() // 255, mask() // 128 * 2, mask().astype(np.uint16) * 257, mask() > 0],
    ids=["0 and 1", "0 and 2", "16 bits", "1 bit"],
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


def test_masks_of_labels_in_colours_and_masks_with_their_shape_in_alpha_are_read(tmp_path: Path):
    folder = masked_capture(tmp_path, lambda name: f"masks/{name}.png", mask())
    labels = Image.fromarray(mask() // 255, "P")
    labels.putpalette([0, 0, 0, 128, 0, 0])  # as of PASCAL VOC
    labels.save(folder / "masks" / "0001.png.png")
    white = np.full((*SIZE[::-1], 3), 255, np.uint8)
    Image.fromarray(np.dstack([white, mask()]), "RGBA").save(folder / "masks" / "0002.png.png")
    black_on_white = Image.fromarray(mask()).convert("P")
    black_on_white.save(folder / "masks" / "0003.png.png")
    for view in load_capture(folder).views[:3]:
        found = view.mask()
        assert found is not None and np.array_equal(found.numpy(), mask() > 0), view.name


def test_a_mask_that_is_cut_short_costs_its_photo_only_the_mask(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = masked_capture(tmp_path, lambda name: f"masks/{name}.png", mask())
    path = folder / "masks" / "0002.png.png"
    path.write_bytes(path.read_bytes()[:-30])
    view = load_capture(folder).views[1]
    assert view.mask() is None
    assert view.image().shape == (48, 64, 3)
    assert sum("0002.png.png" in record.getMessage() for record in caplog.records) == 1
    assert len(check_photos(load_capture(folder)).views) == 9


def test_a_mask_of_swapped_shape_is_not_squeezed(tmp_path: Path):
    folder = masked_capture(tmp_path, lambda name: f"masks/{name}.png", mask().T.copy())
    assert counted(folder).all()


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("camera_as_shown", [False, True])
@pytest.mark.parametrize("mask_as_shown", [False, True])
def test_masks_are_turned_with_photos_that_exif_turns(
    tmp_path: Path, orientation: int, camera_as_shown: bool, mask_as_shown: bool
):
    """Of a half turn the shape does not tell: masks are as the photo is stored."""
    if orientation == 3 and (camera_as_shown or mask_as_shown):
        pytest.skip("nothing tells a half turn")
    turn = {3: 2, 6: -1, 8: 1}[orientation]  # quarter turns, counterclockwise, of what is stored
    shown_size = SIZE if orientation == 3 else SIZE[::-1]
    model = ring(size=shown_size if camera_as_shown else SIZE)
    folder = write_capture(model, tmp_path)
    (folder / "masks").mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in names(folder):
        (folder / "images" / name).unlink()
        path = folder / "images" / name.replace(".png", ".jpg")
        Image.fromarray(photo(SIZE)).save(path, exif=exif)
        stored = np.rot90(mask(), turn) if mask_as_shown else mask()
        Image.fromarray(np.ascontiguousarray(stored)).save(folder / "masks" / f"{path.stem}.png")
    expected = np.rot90(mask(), turn) if camera_as_shown else mask()
    assert np.array_equal(counted(folder), expected > 0)


def test_masks_beside_the_capture_are_not_its_own(tmp_path: Path):
    """Also where photos lie in the capture's folder itself."""
    folder = masked_capture(tmp_path / "scene", lambda name: f"../masks/{name}.png", mask())
    for path in (folder / "images").iterdir():
        path.rename(folder / path.name)
    (folder / "images").rmdir()
    assert counted(folder).all()


def test_a_mask_is_of_one_photo_only(tmp_path: Path):
    model = ring()
    for index, view in enumerate(model.views):
        view.name = f"cam{index % 3}/{index // 3}.png"
    folder = write_capture(model, tmp_path)
    (folder / "masks").mkdir()
    for index in range(3):
        Image.fromarray(mask()).save(folder / "masks" / f"{index}.png")
    capture = load_capture(folder)
    assert all(view.mask() is None for view in capture.views)
    assert any("would be the mask of 3 photos" in line for line in capture.repairs)


def test_files_that_are_no_pictures_are_no_masks(tmp_path: Path):
    folder = masked_capture(tmp_path, lambda name: f"masks/{Path(name).stem}.png", mask())
    for name in names(folder):
        (folder / "masks" / f"{Path(name).stem}.json").write_text("{}")
    assert np.array_equal(counted(folder), mask() > 0)


def test_a_mode_that_does_not_exist_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="mask_mode must be one of auto, ignore, transparent"):
        load_capture(cut_out(tmp_path), mask_mode="transparant")  # pyright: ignore[reportArgumentType]

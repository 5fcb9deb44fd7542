"""The memory that a fit takes, known before it begins, and whether this machine has it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ... import _native
from ..config import Default, TrainConfig
from ..data import CACHE_BYTES, SHARE_OF_MEMORY, FitInput
from ..pacing.resolution import COARSE_BYTES

log = logging.getLogger(__name__)

PAIRS_OF_SPLAT, PAIRS_OF_TILE = 4, 50
"""Pairs of splat and tile: so many a splat, for its own size, and so many a tile, for splats that
are larger because there are few. Rather too many: of real captures at 30 000 to 100 000 splats."""
ROOM = 1.3
"""Room in a GPU's lists of pairs for each that is needed (`backends/cuda/tiles.py`)."""
RECORD = 64
"""Bytes of what the CPU's blend keeps of a projected splat."""
FEWEST = 1000
"""Room for fewer splats than this is none."""
USABLE = 0.9
"""Part of the free memory that a run may take: the rest is for what the estimate leaves out."""


def memory_of_training(
    splats: int,
    size: tuple[int, int],
    *,
    gabor: int,
    sh_degree: int,
    photos: int = 0,
    gpu: bool = False,
) -> int:
    """Bytes that a fit takes at its largest, from sizes alone: what it adds to a process that has
    everything loaded. On a GPU these are the GPU's; that figure has not been measured.

    Args:
        splats: number of splats, all of them visible.
        size: (width, height) of the largest photo [px].
        gabor: waves per splat.
        sh_degree: degree of the spherical harmonics.
        photos: bytes of photos that stay in memory.
        gpu: whether a GPU computes.
    """
    harmonics = 3 * (sh_degree + 1) ** 2
    others = 3 + 4 + 3 + 1 + (3 + 2) * gabor
    # The parameters, Adam's moments, and its last step (`SplatFit`). To show or to evaluate them
    # takes a copy without moments, whose harmonics are there twice while they are put together; a
    # checkpoint takes all again, on the host. Adding splats keeps the old ones until the new ones
    # are whole, which takes no more, for nothing is drawn meanwhile.
    fit = 4 * (harmonics + others) + 2 * 4 * others + 2 * harmonics + 4
    shown = 4 * (harmonics + others)
    copies = shown + (4 * harmonics if gpu else fit)
    waves = 4 * _native.modulation_size(gabor)
    projected = (1 + 8 + 8 + 4 + 12 + 4 + 4 + waves) + (1 + 12)  # stages.Projected; colours
    gradients = (8 + 12 + 4 + 12 + waves) + 12  # stages.BlendGradients; means by colour
    sums = 4 * _native.blend_sum_size(gabor, 3, False)
    pixel = 2 * 12 + 4  # image, the loss's gradient; transmittance
    if gpu:
        scratch = 2 * 8 + sums  # order of depth and its sorting; sums
        pair = ROOM * (2 * 6 + 2 + 4)  # keys and splats, before the sort and between its passes
    else:
        scratch = RECORD + 2 * 12 + 8  # records; order of depth, first slots
        pair = 2 * 4 + 12 + sums  # splat and slot, spans; gradients
        pixel += 60  # picture, photo and three derivatives of SSIM
    tiles = -(-size[0] // _native.constants.TILE_SIZE) * -(-size[1] // _native.constants.TILE_SIZE)
    splat = fit + copies + projected + gradients + scratch
    pairs = PAIRS_OF_SPLAT * splats + PAIRS_OF_TILE * tiles
    return int(splat * splats + pair * pairs + pixel * size[0] * size[1] + photos)


def memory_of_run(
    config: TrainConfig, sizes: Sequence[tuple[int, int]], device: torch.device, free: int | None
) -> int:
    """Bytes of `memory_of_training` for a whole run: `config.max_splats`, photos of these `sizes`
    (width, height) [px], `free` bytes on the device; None where that is not known."""
    photos = photos_kept(sizes, device, free)
    if config.coarse_to_fine and device.type == "cpu":
        photos += min(photos // 4, COARSE_BYTES)  # at half their size
    return memory_of_training(
        config.max_splats,
        largest(sizes),
        gabor=config.gabor,
        sh_degree=config.degree,
        photos=photos,
        gpu=device.type == "cuda",
    )


def largest(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size (width, height) of the most pixels."""
    return max(sizes, key=lambda size: size[0] * size[1])


def photos_kept(sizes: Sequence[tuple[int, int]], device: torch.device, free: int | None) -> int:
    """Bytes of photos of these sizes that stay in the memory of a device."""
    total = sum(3 * width * height for width, height in sizes)
    most = CACHE_BYTES if device.type == "cpu" else int(SHARE_OF_MEMORY * (free or 0))
    return min(total, most)


def most_splats(
    config: TrainConfig, sizes: Sequence[tuple[int, int]], device: torch.device, free: int
) -> int:
    """The most splats for which `memory_of_run` is within what is usable of `free` bytes; 0 where
    the photos leave room for hardly any."""
    # It grows by the same for every splat, down to rounding.
    many = 1_000_000
    without, with_many = (
        memory_of_run(replace(config, max_splats=count), sizes, device, free)
        for count in (1, 1 + many)
    )
    fit = int((USABLE * free - without) / (with_many - without) * many)
    return fit if fit >= FEWEST else 0


def within_memory(config: TrainConfig, data: FitInput, device: torch.device) -> TrainConfig:
    """`config`, with no more splats than the memory that is free on `device` has room for. Logs a
    warning where that is fewer than a preset would have.

    Raises:
        ValueError: somebody gave a `max_splats` for which there is no room, or there is none for
            the photos.
    """
    free = free_memory(device)
    sizes = [view.camera.size for view in (*data.train, *data.test)]
    if free is None or not sizes:
        return config
    needed = memory_of_run(config, sizes, device, free)
    if needed <= USABLE * free:
        return config
    fit = most_splats(config, sizes, device, free)
    width, height = largest(sizes)
    have = (
        f"{config.max_splats:,} need about {_gigabytes(needed)} with photos of {width}x{height}, "
        f"and {_gigabytes(USABLE * free)} of the {_gigabytes(free)} free on {device} may be taken"
    )
    if not fit:
        raise ValueError(f"too little memory for these photos: {have}; give a smaller max_size")
    if not isinstance(config.max_splats, Default):
        raise ValueError(
            f"max_splats must be at most {fit:,}, not {config.max_splats:,}: {have}; "
            "give fewer, or smaller photos (max_size)"
        )
    log.warning("note: at most %s splats: %s", f"{fit:,}", have)
    return replace(config, max_splats=Default(fit))


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free for a run on `device`; None where the system does not say. On the CPU of
    a system that does not tell what is free, all there is."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    known = [_available(), _left_in_group(Path("/sys/fs/cgroup"))]
    return min((value for value in known if value is not None), default=None)


def _available() -> int | None:
    """Bytes that Linux would give to a new program; elsewhere, what the machine has."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _left_in_group(folder: Path) -> int | None:
    """Bytes that the limit of this process's control group leaves; None without a limit."""
    try:
        limit, current = (
            int((folder / name).read_text(encoding="ascii"))
            for name in ("memory.max", "memory.current")
        )
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        stat = dict(line.split() for line in lines)
        return limit - current + int(stat["inactive_file"])  # files' pages give way
    except (OSError, ValueError, KeyError):  # no such group, or its limit is "max"
        return None

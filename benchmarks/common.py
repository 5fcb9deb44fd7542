"""What the benchmarks share: the scene, the machine's floor, statistics and the report."""

from __future__ import annotations

import ctypes
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaborsplat.devices import machine, versions
from renderer.fit.neighbours import neighbour_distances
from renderer.types import SH_C0, Camera, Splats

HERE = Path(__file__).resolve().parent
COMPILE = ["g++", "-O3", "-std=c++17", "-march=native", "-fno-math-errno", "-shared", "-fPIC", "-w"]


@dataclass(frozen=True)
class Workload:
    """What is drawn."""

    scene: str  # "garden", or a number of random splats
    size: tuple[int, int]
    waves: int
    degree: int


def load(work: Workload, garden: Path | None) -> tuple[Splats, Camera]:
    """The splats and a camera of a workload."""
    if work.scene == "garden":
        assert garden is not None
        points = np.load(garden)
        means = torch.from_numpy(points["means3d"])
        colors = torch.from_numpy(points["colors"]).double() / 255
        camera = Camera(
            torch.from_numpy(points["viewmats"][0]), torch.from_numpy(points["Ks"][0]), (648, 420)
        ).resized(work.size)
    else:
        means, colors, camera = _random_room(int(work.scene), work.size)
    scales = neighbour_distances(means).square().mean(dim=-1).sqrt()
    return _dressed(means, colors, scales, work), camera


def _random_room(count: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Camera]:
    """Points on the walls of a box, seen from inside; about half of them are in the picture."""
    random = np.random.default_rng(1)
    means = random.uniform(-1, 1, (count, 3))
    wall = random.integers(0, 3, count)
    means[np.arange(count), wall] = np.sign(means[np.arange(count), wall])
    width, height = size
    focal = 0.45 * width
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    camera = Camera(torch.eye(4), intrinsics.float(), size)
    return torch.from_numpy(means).float(), torch.from_numpy(random.random((count, 3))), camera


def _dressed(means: Tensor, colors: Tensor, scales: Tensor, work: Workload) -> Splats:
    """Random rotations, opacity 0.6, colours as given; waves of 0.2 to 0.8 cycles per sigma."""
    count = len(means)
    random = np.random.default_rng(0)
    quats = random.standard_normal((count, 4))
    sh = np.zeros((count, (work.degree + 1) ** 2, 3))
    sh[:, 0] = (np.asarray(colors) - 0.5) / SH_C0
    sh[:, 1:] = 0.05 * random.standard_normal(sh[:, 1:].shape)
    directions = random.standard_normal((count, work.waves, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    frequencies = directions * random.uniform(0.2, 0.8, (count, work.waves, 1))
    coefficients = random.uniform(-0.3, 0.3, (count, work.waves, 2))
    tensors = (
        means,
        torch.from_numpy(quats),
        scales[:, None].repeat(1, 3),
        torch.full((count,), 0.6),
        torch.from_numpy(sh),
        torch.from_numpy(frequencies),
        torch.from_numpy(coefficients),
    )
    return Splats(*(tensor.float().contiguous() for tensor in tensors))


class ScalarLoop:
    """benchmarks/scalar_loop.cpp, compiled for this machine."""

    class _Scene(ctypes.Structure):
        _fields_ = [
            *((name, ctypes.c_int) for name in ("splats", "waves", "bands", "degree")),
            *((name, ctypes.c_int) for name in ("width", "height")),
            *(
                (name, ctypes.c_void_p)
                for name in ("means", "quats", "scales", "opacities", "sh", "frequencies")
            ),
            *((name, ctypes.c_void_p) for name in ("coefficients", "viewmat", "intrinsics")),
        ]

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "scalar_loop.so"
            subprocess.run([*COMPILE, str(HERE / "scalar_loop.cpp"), "-o", library], check=True)
            self._library = ctypes.CDLL(str(library))
        self._library.draw.restype = ctypes.c_int64
        self._library.multiply_add.restype = ctypes.c_float

    def draw(self, splats: Splats, camera: Camera, *, backward: bool) -> tuple[float, int]:
        """Seconds, and pairs of a splat and a pixel that it was blended into."""
        names = ("means", "quats", "scales", "opacities", "sh", "frequencies", "coefficients")
        tensors = [getattr(splats, name) for name in names]
        tensors += [camera.world_to_camera.contiguous(), camera.intrinsics.contiguous()]
        scene = self._Scene(
            len(splats),
            splats.waves,
            splats.sh.shape[1],
            splats.sh_degree,
            *camera.size,
            *(tensor.data_ptr() for tensor in tensors),
        )
        checksum = ctypes.c_float()
        started = time.perf_counter()
        hits = self._library.draw(ctypes.byref(scene), int(backward), ctypes.byref(checksum))
        return time.perf_counter() - started, hits

    def multiply_adds_per_second(self) -> float:
        """Of float32 in vectors, by one thread."""
        count = 2_000_000
        self._library.multiply_add(ctypes.c_int64(count))
        started = time.perf_counter()
        self._library.multiply_add(ctypes.c_int64(count))
        return 128 * count / (time.perf_counter() - started)


def bytes_per_second() -> float:
    """Of memory, read and written by one thread that copies."""
    source = np.ones(64 << 20, dtype=np.uint8)
    target = np.zeros_like(source)
    started = time.perf_counter()
    for _ in range(4):
        np.copyto(target, source)
    return 4 * 2 * source.nbytes / (time.perf_counter() - started)


FORWARD_OPERATIONS = (24, 4)
"""Vector instructions for each pixel that a splat is blended into, and for each of its waves: those
of the innermost loops of cuda/cpu/tile.h and blend.h, counted."""
BACKWARD_OPERATIONS = (24 + 30, 4 + 14)


def floor_seconds(
    hits: int, waves: int, splats: Splats, rates: tuple[float, float], *, backward: bool
) -> float:
    """No implementation of this mathematics with vectors is faster on two such threads: every
    blended pixel's instructions at the rate of multiply-adds, and every parameter read once, with
    its gradient written."""
    base, per_wave = BACKWARD_OPERATIONS if backward else FORWARD_OPERATIONS
    multiply_adds, bandwidth = rates
    computed = hits * (base + per_wave * waves) / multiply_adds
    return (computed + splats.nbytes * (2 if backward else 1) / bandwidth) / 2


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, 5th and 95th percentile in milliseconds."""
    ordered = sorted(1e3 * each for each in seconds)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]  # noqa: E731
    return {"median": statistics.median(ordered), "p5": at(0.05), "p95": at(0.95)}


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def commit() -> str:
    """What was measured; "unknown" outside a clone."""
    command = ["git", "describe", "--always", "--dirty"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    return result.stdout.strip() or "unknown"


def write(path: Path, results: Any) -> None:
    """The results as JSON, with the commit, the machine and the versions."""
    document = {"commit": commit(), "machine": machine(), "versions": versions(), "runs": results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

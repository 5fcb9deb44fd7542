"""What our figures stand beside: a scalar loop of the same mathematics, and the machine's floor."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from gaborsplat.renderer.backends.cuda.compiler import source_folder
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.splats import Splats

HERE = Path(__file__).resolve().parent
COMPILE = ["g++", "-O3", "-std=c++17", "-march=native", "-fno-math-errno", "-shared", "-fPIC", "-w"]


class ScalarLoop:
    """benchmarks/cpu/scalar_loop.cpp, compiled for this machine."""

    class _Scene(ctypes.Structure):
        _fields_ = [
            *((name, ctypes.c_int) for name in ("splats", "waves", "sh_coeffs", "degree")),
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
            source, include = HERE / "scalar_loop.cpp", f"-I{source_folder().parent}"
            subprocess.run([*COMPILE, include, str(source), "-o", library], check=True)
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

"""NVRTC, NVIDIA's compiler as a library: where it lies, and what is needed of its C interface.

A CUDA build of torch brings one, which suits every driver that this torch runs on. So that one is
taken first; one of a newer CUDA would make code that the driver may refuse.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

LIBRARY_VARIABLE = "GABORSPLAT_NVRTC"
"""Environment variable that names the library to take, if not the one that is found."""
INSTALL = "pip install 'gaborsplat[cuda]'"
MAJORS = (12, 13)
"""CUDA versions that are looked for beside torch's own."""


class KernelError(RuntimeError):
    """A kernel could not be compiled or loaded."""


@dataclass(frozen=True)
class Surroundings:
    """What says where NVRTC may lie.

    Attributes:
        cuda: the major version that torch is built for; None for a CPU build.
        torch: the folder of torch.
        packages: folders of Python packages, torch's first.
        systems: roots of CUDA toolkits and conda environments.
        windows: whether libraries are named as on Windows.
    """

    cuda: int | None
    torch: Path
    packages: tuple[Path, ...]
    systems: tuple[Path, ...]
    windows: bool

    @staticmethod
    def here() -> Surroundings:
        """Of this process."""
        version, folder = torch.version.cuda, Path(torch.__file__).parent
        windows = sys.platform == "win32"
        named = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX")]
        systems = [*named, sys.prefix, sys.base_prefix, None if windows else "/usr/local/cuda"]
        return Surroundings(
            cuda=int(version.split(".")[0]) if version else None,
            torch=folder,
            packages=(folder.parent, *(Path(path) for path in sys.path if path)),
            systems=tuple(Path(root) for root in systems if root),
            windows=windows,
        )


def library_name(major: int, windows: bool) -> str:
    """What NVRTC of a CUDA version is called."""
    return f"nvrtc64_{major}0_0.dll" if windows else f"libnvrtc.so.{major}"


def candidates(around: Surroundings) -> list[str]:
    """Libraries to try, in order: of torch's CUDA version in torch or the wheels beside it, then of
    a toolkit or conda, then where the system looks by itself; then the same of other versions,
    older ones first, which every driver of this torch takes. Where torch has no CUDA, newest first.
    """
    wanted = around.cuda or max(MAJORS)
    parts = ("bin", "bin/x86_64", "bin/x64", "Library/bin") if around.windows else ("lib", "lib64")
    found: list[str] = []
    for major in sorted({wanted, *MAJORS}, key=lambda each: (each > wanted, abs(each - wanted))):
        name = library_name(major, around.windows)
        wheels = [
            packages / "nvidia" / package
            for packages in around.packages
            for package in ("cuda_nvrtc", f"cu{major}")
        ]
        folders = [root / part for root in (*wheels, *around.systems) for part in parts]
        paths = [folder / name for folder in (around.torch / "lib", *folders)]
        found += [*(str(path) for path in paths if path.is_file()), name]
    return list(dict.fromkeys(found))


def find_nvrtc() -> Nvrtc:
    """The library that `GABORSPLAT_NVRTC` names, else the first of `candidates` that loads.

    Raises:
        KernelError: there is none.
    """
    named = os.environ.get(LIBRARY_VARIABLE)
    reasons: list[str] = []
    for path in [named] if named else candidates(Surroundings.here()):
        try:
            return _load(path)
        except (OSError, AttributeError) as error:  # not a library, or another one
            reasons.append(str(error))
    if named:
        raise KernelError(f"{LIBRARY_VARIABLE}: {named} is not NVRTC: {reasons[0]}")
    raise KernelError(f"the GPU needs NVRTC, of CUDA 12 or newer: {INSTALL} ({reasons[0]})")


class Nvrtc:
    """A library of NVRTC. Threads may use it at once.

    Attributes:
        path: where it is.
        version: of CUDA, major and minor.
        architectures: the GPUs that it compiles for, such as sm_90, oldest first.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError or AttributeError if there is no such library at `path`."""
        self._library = ctypes.CDLL(path)
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        self.path = path
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        self.architectures = tuple(f"sm_{number}" for number in numbers)
        self._load_builtins()

    def __str__(self) -> str:
        return "NVRTC {}.{}".format(*self.version)

    def compile(self, name: str, text: str, options: Sequence[str]) -> tuple[bytes, str]:
        """The cubin of a source, and what the compiler says of it.

        Raises:
            KernelError: it refuses the source, with all that it says.
        """
        program = ctypes.c_void_p()
        source = (text.encode(), name.encode(), 0, None, None)  # its headers come from files
        self._call("nvrtcCreateProgram", ctypes.byref(program), *source)
        try:
            words = [os.fsencode(option) for option in options]
            array = (ctypes.c_char_p * len(words))(*words)
            status = self._library.nvrtcCompileProgram(program, len(words), array)
            log = self._read(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            if status != 0:
                raise KernelError(log.strip() or self._error(status))
            return self._read(program, "CUBIN"), log
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self._library, function)(*arguments)
        if status != 0:
            raise KernelError(f"{function}: {self._error(status)}")

    def _error(self, status: int) -> str:
        return self._library.nvrtcGetErrorString(status).decode()

    def _load_builtins(self) -> None:
        """The part of it that it opens by name, when it compiles: CUDA 13.0's wheel does
        not look for it in its own folder, nor does Windows, but one that is loaded is taken."""
        major, minor = self.version
        names = (f"libnvrtc-builtins.so.{major}.{minor}", f"nvrtc-builtins64_{major}{minor}.dll")
        folder = os.path.dirname(self.path)  # none where the system has looked
        for path in (os.path.join(folder, name) for name in names):
            if folder and os.path.isfile(path):
                ctypes.CDLL(path)


@cache
def _load(path: str) -> Nvrtc:
    return Nvrtc(path)

"""What this machine computes on, and what it runs."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys

import torch

from .renderer import _native, devices
from .renderer.devices import Device
from .scenes import InputError

PACKAGES = ("gaborsplat", "torch", "numpy", "gsplat", "viser", "opencv-python-headless")


def pick_device(wanted: Device) -> torch.device:
    """The device to compute on, as `renderer.devices.pick_device`, for a command.

    Raises:
        InputError: a GPU is wanted and cannot be used.
    """
    try:
        return devices.pick_device(wanted)
    except ValueError as error:
        raise InputError(f"--{error}") from error


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, str | int]:
    """What a figure was measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "gpu": gpu,
        "system": platform.platform(),
        "processor": _processor(),
        "isa": _native.cpu.isa(),
        "threads": _native.cpu.threads(),
    }


def peak_memory() -> int:
    """The most memory this process has had [bytes]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

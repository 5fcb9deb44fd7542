"""What this machine computes on, and what it runs."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from typing import Literal

import torch

from renderer import _native

Device = Literal["auto", "cpu"]
"""The CPU is the only backend yet; `auto` will take a GPU where there is one."""

PACKAGES = ("gaborsplat", "torch", "numpy", "gsplat", "viser", "opencv-python-headless")


def pick_device(wanted: Device) -> torch.device:
    """The device to compute on."""
    del wanted
    return torch.device("cpu")


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
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "isa": _native.isa(),
        "threads": _native.threads(),
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

"""Statistics, and the file that a benchmark leaves."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from gaborsplat.console import console
from gaborsplat.devices import machine, versions
from gaborsplat.scenes import replacing

WIDTH = 100
"""Columns of a table, wherever it is printed."""
GPU_PACKAGES = ("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc")


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
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return result.stdout.strip() or "unknown"


def gpu_report() -> dict[str, Any]:
    """The GPU, its driver, and the versions of what compiles for it; empty without one."""
    if not torch.cuda.is_available():
        return {}
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        result = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
        driver = (result.stdout.split("\n")[0]).strip() or "unknown"
    except (OSError, subprocess.TimeoutExpired):
        driver = "unknown"
    found: dict[str, Any] = {"driver": driver, "cuda_of_torch": torch.version.cuda}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    found |= {"gpu": properties.name, "memory_bytes": properties.total_memory}
    found["compute_capability"] = f"{properties.major}.{properties.minor}"
    for package in GPU_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def show_table(table: Table) -> None:
    """A table in `WIDTH` columns, also where the output is no terminal."""
    wide = Console(width=WIDTH, highlight=False)
    with wide.capture() as captured:
        wide.print(table)
    console.print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def write(path: Path, results: Any) -> None:
    """The results as JSON, with the commit, the machine and the versions."""
    document = {"commit": commit(), "machine": machine(), "versions": versions(), "runs": results}
    with replacing(path) as draft:  # those before are worth hours
        draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

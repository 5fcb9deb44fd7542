"""How long a call takes, what it starts on a GPU, and what memory it takes there."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]

MOVES = {"gpu_memset": "memset", "gpu_memcpy": "memcpy"}
"""What a GPU does besides kernels, by its category in a trace."""


@dataclass(frozen=True)
class Trace:
    """What a GPU did in one call.

    Attributes:
        microseconds: by kernel, memsets and copies included.
        launches: how many of each; fewer than 1 where not every call has one.
    """

    microseconds: dict[str, float]
    launches: dict[str, float]


class Stopwatch:
    """Measures calls that compute on one device. On the CPU, for which there are no events, traces
    or peaks, it stands in, so that a benchmark can be tried where there is no GPU."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"

    def wait(self) -> None:
        """Until the device has done all that was queued."""
        if self._on_gpu:
            torch.cuda.synchronize()

    def alone(self, call: Call) -> float:
        """Seconds by the clock, until the device is done."""
        self.wait()
        started = time.perf_counter()
        call()
        self.wait()
        return time.perf_counter() - started

    def back_to_back(self, call: Call, times: int) -> float:
        """Seconds by the clock of one among several that nobody waits for."""
        return self.alone(lambda: [call() for _ in range(times)]) / times

    def by_events(self, call: Call) -> float:
        """Seconds between two events on the GPU; it may wait for the host in between."""
        if not self._on_gpu:
            return self.alone(call)
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    def trace(self, call: Call, times: int) -> Trace:
        """What the GPU does in a call, on the average of several."""
        if not self._on_gpu:
            return Trace({}, {})
        self.wait()
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            for _ in range(times):
                call()
            self.wait()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            profiler.export_chrome_trace(str(path))
            return read_trace(path, times)

    def peak_bytes(self, make: Callable[[], Call]) -> int:
        """The most memory of the GPU that a call takes beyond what lies there already. `make` gives
        the call. It is made on a thread and a stream of its own, where nothing has been kept from
        calls before it."""
        if not self._on_gpu:
            return 0

        def fresh() -> int:
            with torch.cuda.stream(torch.cuda.Stream()):
                call = make()
                self.wait()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                call()
                self.wait()
                return torch.cuda.max_memory_allocated() - before

        self.wait()
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(fresh).result()


def read_trace(path: Path, calls: int) -> Trace:
    """A trace in Chrome's format, of so many calls."""
    microseconds: Counter[str] = Counter()
    launches: Counter[str] = Counter()
    for event in json.loads(path.read_text(encoding="utf-8"))["traceEvents"]:
        category = event.get("cat")
        if category != "kernel" and category not in MOVES:
            continue
        name = MOVES.get(category) or plain_name(event["name"])
        microseconds[name] += event["dur"] / calls
        launches[name] += 1 / calls
    return Trace(dict(microseconds.most_common()), {name: launches[name] for name in launches})


def plain_name(kernel: str) -> str:
    """A kernel's name in C++ without namespaces, types and parameters; that of torch's general ones
    with what they compute."""
    text = kernel.replace("(anonymous namespace)::", "")
    outside, depth = "", 0
    for letter in text:
        depth += (letter == "<") - (letter == ">")
        if depth == 0 and letter != ">":
            outside += letter
    name = outside.split("(")[0].strip().split(" ")[-1].split("::")[-1]
    computed = re.search(r"(\w+?)_?(?:Functor|kernel_cuda|kernel_impl)\b", text.partition("<")[2])
    return f"{name} {computed[1]}" if computed and "elementwise" in name else name

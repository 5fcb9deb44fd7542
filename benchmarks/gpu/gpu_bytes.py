"""Kernels that a picture and a training step launch, and bytes that they move. Needs no GPU.

    python -m benchmarks.gpu.gpu_bytes [--splats N --size W H --pairs P --seen F] [--json FILE]

The CUDA backend runs on tensors of these sizes on the CPU, on a launcher that only notes what it is
given: every kernel, with the size of every array of its arguments; and so for the operations of
torch that would each start a kernel. Of a struct, a kernel is charged for the arrays that its text
names, in the kernel or in a function that it calls; a "?" behind its name says that the text was
not understood, and the kernel is charged for all.

An array counts once, however often it is read, and by whatever name: gathers by index and halos of
neighbours count as if the cache had them, and torch's sorts, which go over their numbers once for
every 8 bits, as one copy. It counts twice where a kernel reads and writes it: the parameters and
the optimiser's state, and what is added to. "floor" is bytes over --bandwidth; "seen" is the same
if arrays with a row a splat were touched only for the share of splats that is seen, --seen, and
those that a step changes of every splat for all. So a kernel that takes much longer than "floor"
wastes time, and one whose "floor" is much more than "seen" may be wasting bytes on splats that
nobody sees: if it does not leave them out already.

Then follows what a fit keeps of a splat from step to step.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu.gpu_host import starts_kernel
from benchmarks.gpu.gpu_tables import shortened
from benchmarks.gpu.kernel_text import uses_of
from benchmarks.gpu.subject import OurFit
from benchmarks.support.report import WIDTH, show_table, write
from gaborsplat.console import console
from gaborsplat.renderer._native import constants, plan
from gaborsplat.renderer.backends.cuda.backend import CudaBackend
from gaborsplat.renderer.backends.cuda.launcher import Launch, Program, Relaunched
from gaborsplat.renderer.backends.registry import use_backend
from gaborsplat.renderer.cameras import Camera
from gaborsplat.renderer.raster.render import render_bytes
from gaborsplat.renderer.settings import RenderSettings
from gaborsplat.renderer.splats import Splats
from gaborsplat.renderer.training.step.optimizer import LAST_STEP
from gaborsplat.renderer.training.step.report import StepOutcome
from gaborsplat.renderer.training.step.runner import StepRunner

OVERWRITES = ("aten::zero_", "aten::fill_", "aten::copy_")
"""Operations of torch in place that do not look at what was there."""
WAYS = ("read", "write")
EVERY_SPLAT = {"project_step": "(?!v_).*"}
"""Arrays by kernel, as a pattern, whose rows of all splats it touches, seen or not, and has to."""
MOST_NAME = 28
"""Letters of a kernel's name."""
LEAST_MB = 0.05
"""Lines that move less than this of everything are added up."""


@dataclass(frozen=True)
class Options:
    """The sizes. The defaults are those of eight gardens at 1080p, as gpu.py beside this draws."""

    splats: int = 1_110_128
    size: tuple[int, int] = (1920, 1080)
    pairs: int = 3_419_617
    """Of a splat and a tile."""
    seen: float = 0.22
    """Share of the splats that is in the picture."""
    waves: tuple[int, ...] = (0, 2)
    bandwidth: float = 4.25
    """Of the GPU's memory [TB/s]; an H200 copies at this rate."""
    json: Path | None = None


@dataclass
class Line:
    """What all launches of one kernel move.

    Attributes:
        name: the kernel's, or the operation's of torch.
        launches: how many.
        read: bytes.
        written: bytes.
        seen: bytes of both, if only splats that are seen were touched.
        arrays: bytes of both, by array.
        whole_struct: the kernel's source was not understood: it is charged for all its struct has.
    """

    name: str
    launches: int = 0
    read: float = 0.0
    written: float = 0.0
    seen: float = 0.0
    arrays: dict[str, float] = field(default_factory=dict[str, float])
    whole_struct: bool = False

    def add(self, array: str, moved: tuple[float, float], seen: float) -> None:
        """An array's bytes, read and written, of which the share `seen` is of splats in view."""
        self.read += moved[0]
        self.written += moved[1]
        self.seen += seen * sum(moved)
        self.arrays[array] = self.arrays.get(array, 0.0) + sum(moved)

    @property
    def bytes(self) -> float:
        """Read and written."""
        return self.read + self.written


class Notes:
    """What is launched, by sizes that tell rows of splats and of pairs apart."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.room = 0
        """Of the lists of pairs, which are longer than there are pairs."""
        self.lines: dict[str, Line] = {}

    def line(self, name: str) -> Line:
        """That of a kernel, launched once more."""
        found = self.lines.setdefault(name, Line(name))
        found.launches += 1
        return found

    def scaled(self, count: int) -> tuple[float, float]:
        """Numbers of an array that are moved, and the share of them that is of splats in view."""
        if count > 0 and count % self._options.splats == 0:
            return count, self._options.seen
        if self.room and count > 0 and count % self.room == 0:
            return count / self.room * self._options.pairs, 1.0
        return count, 1.0


class NotingLauncher:
    """A launcher that runs nothing: it notes what it is given, and leaves zeros."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def launch(self, launches: Sequence[Launch], /) -> None:
        """See `Launcher`."""
        for name, block in launches:
            planned = plan(name, block)
            if 0 in planned.grid:
                continue
            line, uses = self._notes.line(name), uses_of(planned.kernel.source, name)
            line.whole_struct = not uses
            counted = set[tuple[int, str]]()
            for array in block.arrays():
                if not array.address or not array.count:
                    continue
                size = getattr(torch, array.number).itemsize
                if array.written:
                    ctypes.memset(array.address, 0, array.count * size)
                if uses and array.name not in uses:
                    continue
                ways = uses.get(array.name) if array.written else {"read"}
                ways = ways or {"write"}  # as declared, where the text does not tell
                new = {(array.address, way) for way in ways} - counted
                counted |= new
                count, seen = self._notes.scaled(array.count)
                read, written = (count * size * ((array.address, way) in new) for way in WAYS)
                every = re.fullmatch(EVERY_SPLAT.get(name, ""), array.name)
                line.add(array.name, (read, written), 1.0 if every else seen)
            if name == "finish_step":
                _tell_step(block["report"])

    def record(self, launches: Sequence[Launch], /) -> Program:
        """See `Launcher`."""
        return Relaunched(self, launches)


def _tell_step(report: int) -> None:
    """Say in a step's report, at that address, that it was taken: there might be who waits."""
    told = (ctypes.c_double * constants.STEP_REPORTS).from_address(report)
    outcome = StepOutcome(0.0, 0.0, changed=True, fitted=True, broken=False, pairs=0)
    told[:] = outcome[: constants.STEP_REPORTS]


class NotedOperations(TorchDispatchMode):
    """Notes the operations of torch's that would each start a kernel."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not starts_kernel(func):
            return result
        given: list[tuple[Tensor, bool]] = []
        named = {argument.name: argument for argument in func._schema.arguments}
        positional = zip(func._schema.arguments, args, strict=False)
        for argument, value in (*positional, *((named[key], kwargs[key]) for key in kwargs)):
            changed = argument.alias_info is not None and argument.alias_info.is_write
            tensors = [each for each in tree_leaves(value) if isinstance(each, Tensor)]
            given += [(tensor, changed) for tensor in tensors]
            if changed and not argument.kwarg_only and func._schema.name not in OVERWRITES:
                given += [(tensor, False) for tensor in tensors]
        known = {tensor.data_ptr() for tensor, _ in given}
        results = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        given += [(tensor, True) for tensor in results if tensor.data_ptr() not in known]
        self._note(str(func).removeprefix("aten.").split(".")[0], given)
        return result

    def _note(self, name: str, tensors: list[tuple[Tensor, bool]]) -> None:
        line = self._notes.line(f"torch.{name}")
        for tensor, written in tensors:
            count, seen = self._notes.scaled(min(tensor.numel(), _stored(tensor)))
            size = count * tensor.element_size()
            line.add("written" if written else "read", (size * (not written), size * written), seen)


def _stored(tensor: Tensor) -> int:
    """Numbers of the memory that a tensor stands on: fewer than it has, if it is expanded."""
    return tensor.untyped_storage().nbytes() // tensor.element_size()


class AlwaysNeeded(dict[Any, float]):
    """In the place of `TileLister.needed`: pictures need so many pairs."""

    def __init__(self, pairs: int) -> None:
        super().__init__()
        self._pairs = float(pairs)

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, _: object) -> float:
        return self._pairs

    def get(self, _: object, default: Any = None) -> Any:  # pyright: ignore
        """As above."""
        return self._pairs

    def __setitem__(self, _: object, found: float) -> None:
        pass


class NotingBackend:
    """The CUDA backend on such a launcher, which also tells how long the lists of pairs are."""

    def __init__(self, notes: Notes, pairs: int) -> None:
        self._backend, self._notes = CudaBackend(NotingLauncher(notes)), notes
        self._backend.lister.needed = AlwaysNeeded(pairs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def bin(self, *arguments: Any) -> Any:
        """See `Backend`."""
        tiles = self._backend.bin(*arguments)
        self._notes.room = len(tiles.splat_ids)
        return tiles


def scene(splats: int, size: tuple[int, int], waves: int) -> tuple[Splats, Camera]:
    """Tensors of these sizes."""
    shapes = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "sh": (16, 3)}
    shapes |= {"frequencies": (waves, 3), "coefficients": (waves, 2)}
    made = Splats(**{name: torch.ones(splats, *shape) for name, shape in shapes.items()})
    return made, Camera(torch.eye(4), torch.eye(3), size)


def calls(options: Options, waves: int) -> dict[str, Callable[[], object]]:
    """What is counted: the picture that a viewer shows, and a training step."""
    splats, camera = scene(options.splats, options.size, waves)
    fit = OurFit(splats, camera, steps=2)
    runner = StepRunner(torch.device("cpu"), RenderSettings())
    return {
        "viewer's picture": lambda: render_bytes(splats, camera),
        "step": lambda: fit.step(runner),
    }


def kept_bytes(waves: int) -> dict[str, int]:
    """What a fit keeps of a splat from step to step, without photos."""
    fit = OurFit(*scene(1, (1, 1), waves)).fit
    found = {"parameters": 0, "moments": 0, "last step": 0}
    for name, parameter in fit.parameters.items():
        found["parameters"] += parameter.nbytes
        for key, tensor in fit.optimizers[name].state[parameter].items():
            found["last step" if key == LAST_STEP else "moments"] += tensor.nbytes
    return found


def count(options: Options, waves: int) -> dict[str, list[Line]]:
    """The lines of every work, in the order of launches."""
    notes = Notes(options)
    found: dict[str, list[Line]] = {}
    # Tensors on the CPU go to the CUDA backend, as in the tests with an emulator.
    backend: Any = NotingBackend(notes, options.pairs)
    with use_backend("cpu", backend):
        for work, call in calls(options, waves).items():
            call()  # the first one makes what later ones find
            notes.lines = {}
            with NotedOperations(notes):
                call()
            found[work], notes.lines = list(notes.lines.values()), {}
    return found


def table_of(lines: list[Line], bandwidth: float) -> Table:
    """A line a kernel; those that move next to nothing are one."""
    table = Table("kernel", box=None, padding=(0, 1, 0, 0))
    for column in ("launches", "read MB", "written MB", "floor us", "seen us"):
        table.add_column(column, justify="right")
    table.add_column("most of it, MB")
    small = [line for line in lines if line.bytes < 1e6 * LEAST_MB]
    rows = [line for line in lines if line not in small]
    if small:
        rows.append(total(small, f"{len(small)} others"))
    room = (
        WIDTH - 47 - max(len(shortened(line.name, MOST_NAME)) for line in (*rows, Line("kernel")))
    )
    for line in (*rows, total(lines, "all")):
        largest = sorted(line.arrays.items(), key=lambda each: -each[1])[:3]
        table.add_row(
            shortened(line.name, MOST_NAME) + ("?" if line.whole_struct else ""),
            str(line.launches),
            *(f"{each / 1e6:.1f}" for each in (line.read, line.written)),
            *(f"{each / bandwidth / 1e6:.1f}" for each in (line.bytes, line.seen)),
            shortened(", ".join(f"{name} {size / 1e6:.0f}" for name, size in largest), room),
        )
    return table


def total(lines: list[Line], name: str) -> Line:
    """All of some lines, without their arrays."""
    found = Line(name, sum(line.launches for line in lines))
    found.read = sum(line.read for line in lines)
    found.written = sum(line.written for line in lines)
    found.seen = sum(line.seen for line in lines)
    return found


def main() -> None:
    """Count, and print."""
    options = tyro.cli(Options, description=__doc__)
    width, height = options.size
    if min(options.splats, width, height, *options.waves, 1) < 0 or options.splats < 1:
        sys.exit(f"--splats {options.splats} --size {width} {height}: these must be 1 or more")
    if not 0 <= options.seen <= 1 or options.bandwidth <= 0:
        sys.exit("--seen is a share, 0 to 1, and --bandwidth more than 0")
    runs: list[dict[str, Any]] = []
    console.print(
        f"{options.splats:,} splats, {options.seen:.0%} of them seen, {options.pairs:,} pairs, "
        f"{width} x {height}; floor at {options.bandwidth} TB/s"
    )
    for waves in options.waves:
        for work, lines in count(options, waves).items():
            console.print(f"\n{work}, K = {waves}")
            show_table(table_of(lines, options.bandwidth))
            runs.append({"work": work, "waves": waves, "kernels": [asdict(each) for each in lines]})
    state = {waves: kept_bytes(waves) for waves in options.waves}
    console.print("\nA fit keeps of a splat:")
    for waves, kept in state.items():
        parts = ", ".join(f"{name} {size}" for name, size in kept.items())
        console.print(f"K = {waves}: {sum(kept.values())} bytes ({parts})")
    if options.json is not None:
        settings = asdict(options) | {"json": None}
        write(options.json, {"options": settings, "state": state, "works": runs})


if __name__ == "__main__":
    main()

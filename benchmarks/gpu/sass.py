"""Machine code of GPU kernels, and how long the loop is in which they blend.

Disassembled by NVIDIA's nvdisasm: pip install nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

INSTRUCTION = re.compile(r"\s*/\*([0-9a-f]{4,5})\*/\s+(.*?);")
LABEL = re.compile(r"(\.L_x_\d+):")
TARGET = re.compile(r"`\((\.L_x_\d+)\)")


@cache
def disassembler() -> Path:
    """nvdisasm. Ends the program with a line where it is missing."""
    spec = find_spec("nvidia")
    for folder in spec.submodule_search_locations or [] if spec else []:
        for path in Path(folder).glob("*/bin/nvdisasm"):
            path.chmod(path.stat().st_mode | 0o111)
            return path
    sys.exit("this needs NVIDIA's disassembler: pip install nvidia-cuda-nvdisasm")


def disassemble(cubin: bytes, part_of_name: str) -> list[str]:
    """Lines of the first kernel whose name has that part."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels.cubin"
        file.write_bytes(cubin)
        command = [os.fspath(disassembler()), "-c", os.fspath(file)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sections = re.split(r"(?=\.section\s+\.text\.)", text)[1:]
    found = [part for part in sections if part_of_name in part.split("\n", 1)[0]]
    if not found:
        sys.exit(f"no kernel is called *{part_of_name}*")
    return found[0].splitlines()


@dataclass(frozen=True)
class Loop:
    """Instructions of one pass of a loop, of a whole warp."""

    shortest: int  # a splat that is passed over
    longest: int  # one that is blended
    shared_loads: int  # of these, from shared memory


def blending_loop(lines: list[str], through: str = "") -> Loop:
    """The innermost loop that has an exponential, and its ways from top to bottom.

    Where a warp diverges it takes both sides of a branch; the longest way stands for that.
    `through` names an instruction that the shortest way has to pass.
    """
    code: list[str] = []
    labels: dict[str, int] = {}
    for line in lines:
        if found := LABEL.match(line):
            labels[found[1]] = len(code)
        elif found := INSTRUCTION.match(line):
            code.append(found[2])
    loops = [
        (end - labels[target[1]], labels[target[1]], end)
        for end, text in enumerate(code)
        if "BRA" in text and (target := TARGET.search(text)) and labels[target[1]] <= end
    ]
    having = [each for each in loops if any("EX2" in text for text in code[each[1] : each[2]])]
    _, begin, end = min(having)
    stop = next((k for k in range(begin, end) if through in code[k]), begin)
    shortest = _way(code, labels, (stop, end), min)
    if stop > begin:
        shortest += _way(code, labels, (begin, stop), min) - 1
    shared_loads = sum("LDS" in text for text in code[begin:end])
    return Loop(shortest, _way(code, labels, (begin, end), max), shared_loads)


def _way(
    code: list[str],
    labels: dict[str, int],
    ends: tuple[int, int],
    choose: Callable[[list[int]], int],
) -> int:
    """Instructions from the first to the last, both counted."""
    begin, end = ends
    ways: dict[int, int] = {end: 1}
    for at in range(end - 1, begin - 1, -1):
        text, following = code[at], [at + 1]
        if "BRA" in text and (target := TARGET.search(text)):
            conditional = text.startswith("@") or re.search(r"BRA(\.\w+)* !?U?P\d", text)
            following = [labels[target[1]], *(following if conditional else [])]
        known = [ways[each] for each in following if at < each and each in ways]
        if known and "EXIT" not in text:
            ways[at] = 1 + choose(known)
    return ways[begin]

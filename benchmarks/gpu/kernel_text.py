"""What a kernel does with the arrays of its struct, by its text: read, write or leave them."""

from __future__ import annotations

import re
from functools import cache

from gaborsplat.renderer.backends.cuda.compiler import source_folder

WORDS = {"if", "for", "while", "switch", "return"}
HANDED_TO = {
    r"\batomic\w+\(\s*&$": {"read", "write"},
    r"\bstore\w+\($": {"write"},
    r"\bload\w+\($": {"read"},
}
"""What becomes of an array whose address is the first argument of these."""
CHANGES = re.compile(r"\b(?:step|encode)_\w+\s*(?:<[^<>()]*>)?$")
"""Functions that read and write what they are given of arrays."""
CONSTANT = re.compile(r"\s*const [\w:]+\s*\*")
"""How a statement begins that declares pointers through which nothing is written."""
FIELD = r"(?:\.|->)\s*{}\b"


@cache
def uses_of(source: str, kernel: str) -> dict[str, set[str]]:
    """By field that the kernel names, in itself or in what it calls in cuda/kernels or the steps
    of a fit: "read", "write", both, or an empty set where the text does not tell. No fields at all
    where the kernel is not found.

    Null checks are no use. Numbers are named here too, and fields of other structs.
    """
    bodies = _functions(source)
    if kernel not in bodies:
        return {}
    reached, waiting = set[str](), [kernel]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            called = set(re.findall(r"\w+", bodies[name])) & bodies.keys()
            waiting += sorted(called - reached)
    text = "\n".join(bodies[name] for name in reached)
    found: dict[str, set[str]] = {}
    for name in set(re.findall(FIELD.format(r"(\w+)"), text)):
        ways = [_way(text, use) for use in re.finditer(FIELD.format(name), text)]
        if any(way is not None for way in ways):
            found[name] = set[str]().union(*(way for way in ways if way))
    return found


@cache
def _functions(source: str) -> dict[str, str]:
    """Bodies of all functions of a source, of the headers beside it and of those of a fit's steps,
    by name; of overloads, all together."""
    folder, bodies = source_folder(), dict[str, str]()
    steps = folder.parent / "math" / "optimizer.h"
    for path in (folder / f"{source}.cu", *sorted(folder.glob("*.h")), steps):
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for head in re.finditer(r"\b(\w+)\s*\(", text):
            end = _matching(text, head.end() - 1)
            after = re.match(r"\s*(?:const\s*)?(?::[^{;]*)?\{", text[end:])
            if head[1] in WORDS or after is None:
                continue
            parameters = text[head.end() : end]
            name = parameters.split(",")[0].strip() if head[1] == "KERNEL" else head[1]
            begin = end + after.end() - 1
            body = text[begin : _matching(text, begin)]
            bodies[name] = bodies.get(name, "") + body
    return bodies


def _matching(text: str, at: int) -> int:
    """Behind the bracket that closes the one at `at`."""
    pairs = {"(": ")", "[": "]", "{": "}"}
    opening, depth = text[at], 0
    for index in range(at, len(text)):
        depth += (text[index] == opening) - (text[index] == pairs[opening])
        if depth == 0:
            return index + 1
    return len(text)


def _way(text: str, use: re.Match[str]) -> set[str] | None:
    """What one mention of a field does; None for a check whether there is one, an empty set for a
    pointer that is handed on."""
    start = re.search(r"[\w.>-]*$", text[: use.start()])
    before = text[: start.start() if start else use.start()].rstrip()
    after = text[use.end() :].lstrip()
    for pattern, ways in HANDED_TO.items():
        if re.search(pattern, before):
            return ways
    if CHANGES.search(_call_around(text, use.start())):
        return {"read", "write"}
    dereferenced = before.endswith("*") and re.search(r"[\w)\]]\s*\*$", before) is None
    if after.startswith("[") or dereferenced:
        rest = after[_matching(after, 0) :].lstrip() if after.startswith("[") else after
        if re.match(r"=(?!=)", rest):
            return {"write"}
        return {"read", "write"} if re.match(r"[-+*/|&^]=|\+\+|--", rest) else {"read"}
    condition = re.search(r"\bif\s*\($", before) and after.startswith(")")
    check = condition or re.match(r"\?|&&|\|\||!=|==", after) or before.endswith("!")
    if check:
        return None
    statement = text[1 + max(text.rfind(end, 0, use.start()) for end in ";{}") :]
    return {"read"} if CONSTANT.match(statement) else set()


def _call_around(text: str, at: int) -> str:
    """What stands before the bracket that opens the call, condition or other, that `at` is in; of
    brackets that only group, those around them count. Empty outside of brackets."""
    depth = 0
    for index in range(at - 1, -1, -1):
        depth += (text[index] in ")]}") - (text[index] in "([{")
        if depth < 0:
            before = text[:index].rstrip()
            if text[index] != "(":
                return ""
            if re.search(r"[\w>]$", before):
                return before
            depth = 0
    return ""

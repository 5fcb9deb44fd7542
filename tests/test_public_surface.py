"""`help()` of a public name tells what a caller needs: parameters, shapes, errors, sources."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
from public import CLASSES, PUBLIC

import gaborsplat as gs

METHODS = {
    f"{owner}.{name}": method
    for owner, cls in CLASSES.items()
    for name, member in vars(cls).items()
    if not name.startswith("_")
    and callable(method := getattr(member, "fget", None) or getattr(member, "__func__", member))
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}

UNITS = {
    "psnr": r"\[dB\]|signal-to-noise",
    "seconds": r"\[s\]",
    "intrinsics": r"\[px\]",
    "Ks": r"\[px\]",
    "eps2d": r"\[px\^2\]",
    "radius_clip": r"\[px\]",
    "frequencies": r"\[cycles/sigma\]",
    "scales": r"standard deviations",
    "background": r"\[0, 1\]",
}
"""What the documentation of a quantity has to say, wherever it appears."""

METHODS_OF_OTHERS = ("rasterization", "render", "evaluate", "bake", "Splats", "TrainConfig", "ssim")
SOURCE = r"docs/\w+\.md|gsplat|\(\w+ et al\. \d{4}\)"


def section(doc: str, title: str) -> dict[str, str]:
    """What a section of a docstring says of each name in it."""
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)*)", doc, re.MULTILINE)
    entries: dict[str, str] = {}
    for entry in re.split(r"^    (?=\S)", found[1] if found else "", flags=re.MULTILINE)[1:]:
        names, _, text = entry.partition(":")
        entries |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return entries


def documented(value: Any) -> str:
    """A docstring, with those of the functions that it refers to."""
    doc = inspect.getdoc(value) or ""
    referred = re.findall(r"[Tt]akes and\s+raises\s+what\s+`(\w+)`", doc)
    return "\n\n".join([doc, *(documented(PUBLIC[name]) for name in referred)])


def fields(cls: type) -> dict[str, str]:
    """Public attributes that instances of a class are made with, and how they are annotated."""
    if is_dataclass(cls) or hasattr(cls, "_fields"):
        return {k: str(v) for k, v in cls.__annotations__.items() if not k.startswith("_")}
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    targets = [
        target
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
        for statement in ast.walk(node)
        for target in getattr(statement, "targets", [getattr(statement, "target", None)])
    ]
    return {
        target.attr: ""
        for target in targets
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
        and not target.attr.startswith("_")
    }


def parameters(function: Callable[..., Any]) -> dict[str, str]:
    """Names and annotations of what a function takes."""
    taken = inspect.signature(function).parameters
    return {name: str(p.annotation) for name, p in taken.items() if name != "self"}


def raised(function: Callable[..., Any]) -> set[str]:
    """Names of the exceptions that a function's own lines raise."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return {call.func.id for call in calls if isinstance(call, ast.Call)}  # pyright: ignore


def described() -> Iterator[tuple[str, str, str, str]]:
    """(public name, name of a parameter or attribute, its annotation, its description)."""
    for name, function in FUNCTIONS.items():
        args = section(documented(function), "Args")
        for parameter, annotation in parameters(function).items():
            yield name, parameter, annotation, args.get(parameter, "")
    for name, cls in CLASSES.items():
        doc = documented(cls) + "\n\n" + (inspect.getdoc(cls.__init__) or "")
        attributes = section(doc, "Attributes")
        for attribute, annotation in fields(cls).items():
            yield name, attribute, annotation, attributes.get(attribute, "")
        own = "__init__" in vars(cls) and not getattr(cls, "_is_protocol", False)
        if own and not is_dataclass(cls) and not issubclass(cls, Exception | tuple):
            args = section(doc, "Args")
            for parameter, annotation in parameters(cls.__init__).items():
                yield name, parameter, annotation, args.get(parameter, "")


DESCRIBED = [pytest.param(*entry, id=f"{entry[0]}.{entry[1]}") for entry in described()]


@pytest.mark.parametrize(("name", "entry", "annotation", "text"), DESCRIBED)
def test_everything_that_is_passed_or_read_is_described(
    name: str, entry: str, annotation: str, text: str
):
    assert text, f"help(gs.{name}) says nothing of {entry}"
    if re.search(r"\bTensor\b", annotation) and not text.startswith("not supported"):
        assert re.search(r"\[[\w, ().+^]*\]|waves", text), f"help(gs.{name}): {entry} has no shape"
    if entry in UNITS and (name, entry) not in {("LearningRates", "scales")}:
        assert re.search(UNITS[entry], text), f"help(gs.{name}): {entry} has no unit"


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_a_function_names_its_errors_and_what_it_returns(name: str):
    function = FUNCTIONS.get(name) or METHODS[name]
    doc = documented(function)
    assert {error for error in raised(function) if error not in doc} == set()
    if str(inspect.signature(function).return_annotation) == "Tensor":
        assert re.search(r"\[.*\]|scalar", doc), f"help(gs.{name}): no shape of what is returned"


@pytest.mark.parametrize("name", METHODS_OF_OTHERS)
def test_a_published_method_cites_its_source(name: str):
    assert re.search(SOURCE, documented(PUBLIC[name]))


def test_a_type_checker_finds_the_annotations():
    assert Path(gs.__file__).with_name("py.typed").is_file()

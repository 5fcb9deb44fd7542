"""What a user has made torch's defaults changes nothing of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from public import PUBLIC, USES, World, expected, facts

DTYPES = (torch.float64, torch.float16, torch.bfloat16)
ROOT = Path(__file__).resolve().parents[2]
TYPED = {"tensor", "zeros", "ones", "empty", "full", "eye", "rand", "randn", "linspace"}
COUNTED = {"arange", "randint", "randperm"}
"""Functions of torch that make tensors: of numbers that may be real, and of whole ones."""


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def makers() -> Iterator[tuple[str, ast.Call, str]]:
    """Where our sources call a function of torch that makes a tensor, and which."""
    for package in ("renderer", "scenes", "viewer", "gaborsplat"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("torch."):
                    name = ast.unparse(node.func).removeprefix("torch.")
                    if name in TYPED | COUNTED:
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", node, name


def test_every_public_name_is_used():
    assert USES.keys() == PUBLIC.keys()


def test_tensors_are_made_with_a_type_and_a_device_that_are_named():
    found = list(makers())
    assert len(found) > 50
    for where, call, name in found:
        named = {keyword.arg for keyword in call.keywords}
        wanted = {"device"} if name in COUNTED else {"device", "dtype"}
        assert wanted <= named, f"{where}: torch.{name} lacks {', '.join(wanted - named)}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", USES)
def test_the_default_type_changes_nothing(name: str, dtype: torch.dtype, world: World):
    found = expected(name, world)
    with default(dtype):
        assert facts(USES[name](world)) == found


@pytest.mark.parametrize("name", USES)
def test_the_default_device_changes_nothing(name: str, world: World):
    found = expected(name, world)
    with torch.device("meta"):
        assert facts(USES[name](world)) == found

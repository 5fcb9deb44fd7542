"""Rules of the house that no tool checks: who imports whom, and how large things may grow."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings

from gaborsplat import renderer
from gaborsplat.renderer import _native, reference
from gaborsplat.renderer.splats import WAVE_COUNTS

REPOSITORY = Path(__file__).resolve().parents[1]
LAYERS = ("renderer", "scenes", "viewer", "gaborsplat")
"""From the bottom up: each may import those before it."""

FLOORS = {
    "renderer": (
        {"splats", "cameras", "settings", "frame", "rotations", "files", "process", "_native"},
        {"reference", "bake", "backends"},
        {"losses", "devices", "raster"},
        {"editing"},
        {"gsplat_api", "training"},
    ),
    "renderer.backends": ({"stages", "memory"}, {"base", "cpu", "cuda"}, {"registry"}, {"trial"}),
    "renderer.training": (
        {"config", "data", "schedule", "interrupt", "fairlock", "pacing"},
        {"corrections"},
        {"step"},
        {"gabor", "state", "color"},
        {"density", "distill", "evaluate"},
        {"trainer"},
        {"checkpoint", "cost"},
        {"saving"},
        {"run"},
    ),
    "scenes": (
        {"errors", "opencv"},
        {"limits"},
        {"document", "ply"},
        {"colmap", "splats"},
        {"photos", "demo"},
        {"transforms", "sfm"},
        {"sources", "placing"},
        {"capture"},
        {"check", "plausibility"},
    ),
    "viewer": (
        {
            "settings",
            "scene",
            "camera",
            "background",
            "download",
            "outbox",
            "reports",
            "budget",
            "values",
        },
        {"pacing", "picture", "page"},
        {"path"},
        {"panel"},
        {"web"},
        {"live"},
    ),
}
"""Rooms and files of a package, from the bottom up: each may import its own and lower floors."""

MAX_FILE = 400
MAX_FUNCTION = 60
MAX_ROOM = 12


def sources(*packages: str) -> list[Path]:
    """Python files of the packages, generated ones aside."""
    return [path for package in packages for path in sorted((REPOSITORY / package).rglob("*.py"))]


def parsed(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """The name by which a file of the packages is imported."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    parts = parts if parts[0] == "gaborsplat" else ("gaborsplat", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in sources(*LAYERS)} | {_native.__name__}


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, relative ones resolved."""
    package = module_name(path).split(".")
    if path.stem != "__init__":
        package.pop()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join((*base, *filter(None, [node.module])))
            for alias in node.names:
                module = f"{source}.{alias.name}"
                yield module if module in MODULES else source


def floor_of(module: str, package: str) -> int | None:
    """The floor of a package on which a module lies; None for the package itself and others."""
    if not module.startswith(f"gaborsplat.{package}."):
        return None
    name = module.removeprefix(f"gaborsplat.{package}.").split(".")[0]
    floors = [floor for floor, names in enumerate(FLOORS[package]) if name in names]
    assert floors, f"{module} lies on no floor of {package}"
    return floors[0]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str):
    allowed = tuple(f"gaborsplat.{below}" for below in LAYERS[: LAYERS.index(layer) + 1])
    upward = [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in sources(layer)
        for name in imported(path)
        if name.startswith("gaborsplat") and not name.startswith(allowed)
    ]
    assert layer == "gaborsplat" or not upward


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_what_lies_below_them(package: str):
    upward = [
        f"{module_name(path)} imports {name}"
        for path in sources(package.replace(".", "/"))
        if (floor := floor_of(module_name(path), package)) is not None
        for name in imported(path)
        if name == f"gaborsplat.{package}" or (floor_of(name, package) or 0) > floor
    ]
    assert not upward


def test_no_files_import_each_other_in_a_circle():
    graph = {module_name(path): {*imported(path)} & MODULES for path in sources(*LAYERS)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_room_is_crowded():
    """Links aside: those in gaborsplat/ show type checkers and editors the installed tree."""
    endings = {".py", ".h", ".cpp", ".cu", ".js"}
    rooms = Counter(
        path.parent.relative_to(REPOSITORY)
        for top in (*LAYERS, "cuda", "tests", "benchmarks")
        for path in (REPOSITORY / top).rglob("*")
        if path.suffix in endings
    )
    assert {str(room): files for room, files in rooms.items() if files > MAX_ROOM} == {}


def test_type_checkers_see_the_tree_that_is_installed():
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        scikit_build = tomllib.load(file)["tool"]["scikit-build"]
    installed = {Path(to): Path(source) for to, source in scikit_build["wheel"]["packages"].items()}
    links = {
        path.relative_to(REPOSITORY): path.resolve().relative_to(REPOSITORY)
        for path in (REPOSITORY / "gaborsplat").iterdir()
        if path.is_symlink()
    }
    assert links | {Path("gaborsplat"): Path("gaborsplat")} == installed
    assert {str(link) for link in links} <= {*scikit_build["sdist"]["exclude"]}


def test_the_oracle_uses_nothing_of_the_kernels():
    names = set(imported(REPOSITORY / "renderer" / "reference.py"))
    values = {f"gaborsplat.renderer.{name}" for name in ("splats", "cameras", "settings", "frame")}
    assert names <= {"__future__", "math", "dataclasses", "torch", *values}


def test_the_cuda_folder_is_not_a_package():
    """With an __init__.py it would hide NVIDIA's cuda.bindings and cuda.core, torch's included."""
    assert not list(REPOSITORY.glob("cuda/**/*.py"))
    assert not {"core", "bindings"} & {path.name for path in REPOSITORY.glob("cuda/*")}


def test_there_is_no_drawer_for_odds_and_ends():
    banned = {"utils", "util", "helpers", "helper", "misc", "common"}
    found = [
        path
        for package in (*LAYERS, "tests", "benchmarks")
        for path in (REPOSITORY / package).rglob("*")
        if path.stem in banned
    ]
    assert not found


def test_files_stay_readable():
    files = [*sources(*LAYERS), *(REPOSITORY / "tests").rglob("*.py")]
    files += (REPOSITORY / "benchmarks").rglob("*.py")
    files += [
        path for ending in ("*.h", "*.cpp", "*.cu") for path in (REPOSITORY / "cuda").rglob(ending)
    ]
    long = {
        path.name: lines
        for path in files
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_FILE
    }
    assert not long


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, its docstring aside."""
    documented = ast.get_docstring(function) is not None
    code = function.body[1:] if documented else function.body
    return (code[-1].end_lineno or 0) - code[0].lineno + 1 if code else 0


def test_functions_fit_a_screen():
    long = {
        f"{path.relative_to(REPOSITORY)}:{node.name}": lines
        for path in sources(*LAYERS)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := code_lines(node)) > MAX_FUNCTION
    }
    assert not long


def test_public_functions_and_classes_are_documented():
    bare = [
        f"{path.relative_to(REPOSITORY)}:{node.name}"
        for path in sources(*LAYERS)
        for node in parsed(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert not bare


def test_the_folders_at_the_top_are_the_packages_under_test():
    assert Path(renderer.__file__).resolve() == REPOSITORY / "renderer" / "__init__.py"


def test_every_kind_of_primitive_has_an_oracle():
    kinds = {kind.rstrip("0123456789") for kind in _native.kinds()}  # gabor2: two waves
    assert {"gaussian", "gabor"} <= kinds
    missing = [kind for kind in kinds if not callable(getattr(reference, f"weight_{kind}", None))]
    assert not missing


def test_the_kernels_are_compiled_for_every_number_of_waves():
    counts = {int("0" + kind.removeprefix("gabor")) for kind in _native.kinds() if "gabor" in kind}
    assert {0} | counts == set(WAVE_COUNTS)


@pytest.mark.parametrize("page", [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])
def test_links_in_the_docs_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"

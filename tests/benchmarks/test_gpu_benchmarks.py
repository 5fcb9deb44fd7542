"""Benchmarks of the GPU where there is none: what they count and print, and that none hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gpu import gpu, gpu_bytes, gpu_host, gpu_tables, subject
from benchmarks.gpu.kernel_text import uses_of
from benchmarks.gpu.kernels import SPECIAL
from benchmarks.support import report
from benchmarks.support.stopwatch import Trace, plain_name, read_trace
from gaborsplat.renderer._native import kernels
from gaborsplat.renderer.backends.cuda.backend import CudaBackend
from gaborsplat.renderer.backends.registry import use_backend
from gaborsplat.renderer.gsplat_api.rasterization import rasterization

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    """A file like gsplat's test_garden.npz, with few points."""
    random = np.random.default_rng(0)
    intrinsics = np.array([[500, 0, 324], [0, 500, 210], [0, 0, 1]], dtype=np.float32)
    path = tmp_path / "garden.npz"
    np.savez(
        path,
        means3d=random.uniform([-1, -1, 3], [1, 1, 5], (60, 3)).astype(np.float32),
        colors=random.integers(0, 256, (60, 3)).astype(np.uint8),
        viewmats=np.eye(4, dtype=np.float32)[None],
        Ks=intrinsics[None],
    )
    return path


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "SCENES", ((3, (40, 30)), (1, (32, 24))))
    monkeypatch.setattr(gpu, "PROBE", (2, (40, 30)))
    monkeypatch.setattr(gpu, "POINTS", 60)


@pytest.mark.usefixtures("_tiny")
def test_every_work_of_every_scene_is_timed(garden: Path, tmp_path: Path):
    options = gpu.Options(garden=garden, device="cpu", rounds=1, json=tmp_path / "out.json")
    # Ours stands in for gsplat's, which has no kernels for the CPU.
    theirs = ("gsplat 1.5.3", rasterization)
    gpu.measure(options, theirs, gpu.Deadline(1e6), {"figures": [], "memory": []})
    written = json.loads((tmp_path / "out.json").read_text())["runs"]
    found = {
        (run["splats"], run["renderer"], run["waves"], run["work"]) for run in written["figures"]
    }
    for splats in (180, 60):
        for work in subject.WORKS:
            assert {(splats, "ours", waves, work) for waves in (0, 2, 4)} <= found
            assert (splats, "gsplat 1.5.3", 0, work) in found
            assert (splats, "gsplat 1.5.3 packed", 0, work) in found
    assert all(run["back_to_back_ms"]["median"] > 0 for run in written["figures"])
    assert [run["renderer"] for run in written["memory"]] == ["ours", "gsplat 1.5.3"]


@pytest.mark.usefixtures("_tiny")
def test_no_scene_begins_when_the_time_is_over(garden: Path, capsys: pytest.CaptureFixture[str]):
    results: dict[str, Any] = {"figures": [], "memory": []}
    gpu.measure(gpu.Options(garden=garden, device="cpu"), None, gpu.Deadline(-1), results)
    assert results == {"figures": [], "memory": []}
    assert capsys.readouterr().out.count("not measured, the time is over") == 2


@pytest.mark.usefixtures("_tiny")
def test_the_gate_tells_pictures_apart(garden: Path):
    def darker(**arguments: Any) -> Any:
        color, alphas, info = rasterization(**arguments)
        return 0.9 * color, alphas, info

    cpu = torch.device("cpu")
    same = gpu.gate(garden, cpu, ("gsplat 1.5.3", rasterization))
    assert min(same.values()) > gpu.LEAST_PSNR
    found = gpu.gate(garden, cpu, ("gsplat 1.5.3", darker))
    wrong = {name for name, value in found.items() if value < gpu.LEAST_PSNR}
    assert wrong == {"K = 0, picture: gsplat 1.5.3"}  # its gradient has another size alone


def test_a_trace_is_added_up_by_kernel(tmp_path: Path):
    events = [
        {"cat": "kernel", "name": "blend", "dur": 4.0},
        {"cat": "kernel", "name": "blend", "dur": 6.0},
        {"cat": "gpu_memset", "name": "Memset (Device)", "dur": 1.0},
        {"cat": "cuda_runtime", "name": "cudaLaunchKernel", "dur": 9.0},
        {"ph": "M", "name": "process_name"},
    ]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"traceEvents": events}))
    trace = read_trace(path, calls=2)
    assert trace == Trace({"blend": 5.0, "memset": 0.5}, {"blend": 1.0, "memset": 0.5})
    assert gpu.launches_of(trace) == {"own": 1.0, "others": 0.0, "memsets and copies": 0.5}


@pytest.mark.parametrize(
    ("mangled", "plain"),
    [
        ("shade_step", "shade_step"),
        (
            "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>, "
            "std::array<char*, 1ul> >(int, at::native::FillFunctor<float>)",
            "vectorized_elementwise_kernel Fill",
        ),
        (
            "void gsplat::(anonymous namespace)::rasterize_to_pixels_kernel<3u, float>(int, int)",
            "rasterize_to_pixels_kernel",
        ),
        (
            "void cub::DeviceRadixSortOnesweepKernel<cub::Policy<int>::Policy900, true>(int*)",
            "DeviceRadixSortOnesweepKernel",
        ),
    ],
)
def test_kernels_are_named_without_their_types(mangled: str, plain: str):
    assert plain_name(mangled) == plain


def figure(renderer: str, waves: int, work: str, names: list[str]) -> dict[str, Any]:
    spread = {"median": 1234.0, "p5": 1230.0, "p95": 1239.0}
    return {
        "renderer": renderer,
        "waves": waves,
        "work": work,
        "splats": 5_000_000,
        "size": (3840, 2160),
        **dict.fromkeys(("back_to_back_ms", "events_ms", "alone_ms"), spread),
        "gpu_ms": 1000.0,
        "launches": {"own": 30.0, "others": 100.0, "memsets and copies": 20.0},
        "kernels": {
            "microseconds": dict.fromkeys(names, 99999.0),
            "launches": dict.fromkeys(names, 12.0),
        },
        "peak_bytes": 99_999_000_000,
    }


def test_tables_fit_whatever_the_width_of_the_terminal(capsys: pytest.CaptureFixture[str]):
    names = ["a" * 70, "blend_backward", "memset"]
    everybody = [("ours", waves) for waves in (0, 2, 4)]
    everybody += [("gsplat 1.5.3", 0), ("gsplat 1.5.3 packed", 0), ("ours as gsplat", 4)]
    gpu_tables.show([figure(*each, work, names) for each in everybody for work in subject.WORKS])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= report.WIDTH
    # Nothing is wrapped or cut: every job has a line with all its figures.
    jobs = [line for line in lines if "30+100+20" in line]
    assert len(jobs) == len(everybody) * len(subject.WORKS)
    assert all(line.count("123") == 5 for line in jobs), jobs[0]
    assert not any("…" in line for line in lines)


SIZES = gpu_bytes.Options(splats=1009, size=(80, 48), pairs=700, seen=0.25, waves=(0, 2))


@pytest.fixture(scope="module")
def works() -> dict[str, list[gpu_bytes.Line]]:
    """What the two works launch with two waves."""
    return gpu_bytes.count(SIZES, 2)


def by_name(lines: list[gpu_bytes.Line]) -> dict[str, gpu_bytes.Line]:
    return {line.name: line for line in lines}


def a_splat(line: gpu_bytes.Line) -> dict[str, float]:
    """Bytes of every array."""
    return {name: size / SIZES.splats for name, size in line.arrays.items()}


def test_a_step_reads_and_writes_parameters_and_moments_of_all_splats(
    works: dict[str, list[gpu_bytes.Line]],
):
    line = by_name(works["step"])["project_step"]
    moved = a_splat(line)
    # Read by one name, and written by another.
    assert moved["means"] == moved["next_means"] == 12
    assert moved["means_avg"] == moved["means_avg_sq"] == 24
    gradients = sum(size for name, size in line.arrays.items() if name.startswith("v_"))
    numbers = 3 + 4 + 3 + 1 + 2 * (3 + 2)
    rest = (line.bytes - gradients) / SIZES.splats
    assert rest == pytest.approx(24 * numbers + 1, abs=1)  # and who is visible
    assert line.seen == pytest.approx(line.bytes - 0.75 * gradients)


def test_a_step_touches_harmonics_that_are_seen(works: dict[str, list[gpu_bytes.Line]]):
    line = by_name(works["step"])["shade_step"]
    moved = a_splat(line)
    assert moved["sh_rest"] == moved["next_sh_rest"] == 4 * 45
    assert moved["sh_rest_quotients"] == moved["sh_rest_roots"] == 2 * 45
    assert moved["v_means"] == 12
    assert line.seen == pytest.approx(0.25 * line.bytes, rel=1e-2)


def test_nothing_of_a_step_is_left_to_torch(works: dict[str, list[gpu_bytes.Line]]):
    """But what comes and goes: photo, camera and rates, and what the step did."""
    names = [line.name for line in works["step"]]
    assert [name for name in names if name.startswith("torch.")] == ["torch.copy_"]
    assert names[-4:] == ["begin_step", "shade_step", "project_step", "finish_step"]


def test_what_a_fit_keeps_of_a_splat():
    assert gpu_bytes.kept_bytes(0) == {
        "parameters": 4 * 59,
        "moments": 8 * 11 + 2 * 48,
        "last step": 4,
    }
    more = {
        name: size - gpu_bytes.kept_bytes(0)[name] for name, size in gpu_bytes.kept_bytes(2).items()
    }
    assert more == {"parameters": 4 * 10, "moments": 8 * 10, "last step": 0}


def test_projection_reads_parameters_and_writes_what_it_finds(
    works: dict[str, list[gpu_bytes.Line]],
):
    line = by_name(works["viewer's picture"])["project"]
    of_camera = 4 * (16 + 9)
    assert line.read == 4 * (3 + 4 + 3 + 1 + 2 * 5) * SIZES.splats + of_camera
    assert line.launches == 1


def test_pairs_count_without_the_room_behind_them(works: dict[str, list[gpu_bytes.Line]]):
    blend = by_name(works["viewer's picture"])["blend"]
    assert blend.arrays["splat_ids"] == pytest.approx(4 * SIZES.pairs)
    assert blend.arrays["bytes"] == 3 * 80 * 48


def test_sizes_scale_what_is_moved(works: dict[str, list[gpu_bytes.Line]]):
    twice = by_name(gpu_bytes.count(replace(SIZES, splats=2 * 1009), 2)["step"])
    once = by_name(works["step"])
    for name in ("project_step", "shade", "shade_step"):
        assert twice[name].read == pytest.approx(2 * once[name].read, rel=1e-2)


def test_every_kernel_of_ours_is_understood():
    for kernel in kernels():
        assert uses_of(kernel.source, kernel.name), f"{kernel.name} in {kernel.source}.cu"


@pytest.mark.parametrize(
    ("kernel", "array", "ways"),
    [
        ("shade", "sh_rest_quotients", "read"),
        ("shade", "missed", "read"),
        ("shade_step", "sh0_roots", "read write"),
        ("shade_step", "last_steps", "read write"),
        ("shade_step", "counters", "read"),
        ("project_step", "opacities_avg_sq", "read write"),
        ("project_step", "next_means", "read write"),
        ("begin_step", "not_finite", "read write"),
        ("begin_step", "wanted", "read"),
        ("finish_step", "missed", "read write"),
        ("finish_step", "report", "write"),
        ("catch_up", "quotients", "read write"),
    ],
)
def test_what_a_kernel_does_with_an_array_is_read_off_its_text(kernel: str, array: str, ways: str):
    (source,) = (each.source for each in kernels() if each.name == kernel)
    assert uses_of(source, kernel)[array] == set(ways.split())


def test_a_kernel_is_not_charged_for_what_others_of_its_struct_touch(
    works: dict[str, list[gpu_bytes.Line]],
):
    lines = by_name(works["step"])
    assert "gradient" in lines["compare_pictures"].arrays
    assert "gradient" not in lines["finish_loss"].arrays
    assert "v_colors" in lines["finish_blend"].arrays
    assert "v_colors" not in lines["blend_backward"].arrays


def test_the_compile_matrix_has_every_source():
    assert set(SPECIAL) == {kernel.source for kernel in kernels()}


@pytest.mark.slow
def test_a_step_goes_on_where_nothing_runs():
    with gpu_host.idle_driver() as driver:
        launcher = gpu_host.CountingLauncher(driver)
        with use_backend("cpu", CudaBackend(launcher)):
            step = gpu_host.our_calls(2)["step"]
            counts: list[int] = []
            for _ in range(5):
                launcher.launched.clear()
                step()
                counts.append(launcher.launched.count("project_step"))
    assert counts == [1] * 5


ON_GPU = REPOSITORY / "benchmarks" / "gpu" / "on_gpu.sh"
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="what there is where no GPU is")


def stages(folder: Path, seconds: int, python: str, **environment: str) -> dict[str, str]:
    """The table of on_gpu.sh by stage, with a script in the place of Python."""
    fake = folder / "python"
    fake.write_text(f"#!/bin/sh\n{python}\n")
    fake.chmod(0o755)
    out = folder / "out"
    result = subprocess.run(
        ["bash", str(ON_GPU), str(seconds)],
        env={**os.environ, "OUT": str(out), "PYTHON": str(fake), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    table = (out / "table.txt").read_text()
    assert result.stdout.endswith(table)
    assert len(list(out.iterdir())) <= 8
    return dict(line.split(maxsplit=1) for line in table.splitlines())


@pytest.mark.slow
def test_without_a_gpu_every_stage_that_needs_one_says_so_and_none_hangs(tmp_path: Path):
    started = time.monotonic()
    found = stages(tmp_path, 10, 'case "$1" in -c) echo no ;; *) sleep 1000 ;; esac')
    assert time.monotonic() - started < 40
    assert found["build"].startswith("stopped after its")
    for stage in ("tests", "benchmark", "train", "memcheck", "racecheck", "synccheck"):
        assert found[stage].startswith("needs a GPU")


@pytest.mark.slow
@no_gpu
def test_a_stage_that_fails_stops_no_other(tmp_path: Path):
    """A Python that says that there is a GPU, so that the programs have to find out."""
    python = f"""case "$*" in
    *is_available*) echo yes ;;
    "-m pytest"*) echo "== 1 failed, 3 passed in 2 s =="; exit 1 ;;
    *) exec "{sys.executable}" "$@" ;;
    esac"""
    found = stages(tmp_path, 900, python, STAGES="tests benchmark train")
    assert found["tests"].startswith("failed (1): 1 failed, 3 passed in 2 s")
    assert "failed (1): no GPU to measure" in found["benchmark"]
    assert "failed (1): --device: cuda cannot be used" in found["train"]


def test_a_stage_that_there_is_not_is_refused():
    environment = {**os.environ, "STAGES": "tests dance"}
    command = ["bash", str(ON_GPU), "10"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "no stage dance" in result.stderr


def test_seconds_must_be_a_number():
    result = subprocess.run(
        ["bash", str(ON_GPU), "soon"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "usage" in result.stderr

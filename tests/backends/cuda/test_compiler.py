"""Kernels: how NVRTC compiles them, and how compiled ones are kept."""

from __future__ import annotations

import io
import os
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from nvrtcs import installed_nvrtc

from gaborsplat.renderer._native import kernels
from gaborsplat.renderer.backends.cuda import compiler
from gaborsplat.renderer.backends.cuda.cubins import CubinCache
from gaborsplat.renderer.backends.cuda.nvrtc import LIBRARY_VARIABLE, MAJORS, find_nvrtc
from gaborsplat.renderer.backends.trial import why_unusable

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
BLEND = (("CHANNELS", "3"), ("REAL", "float"), ("WAVES", "2"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(compiler.CACHE_VARIABLE, str(folder))
    return folder


def take_nvrtc(cuda: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with NVRTC of a CUDA version."""
    monkeypatch.setenv(LIBRARY_VARIABLE, installed_nvrtc(cuda))
    assert find_nvrtc().version[0] == cuda


@pytest.fixture(params=MAJORS, ids=lambda cuda: f"CUDA{cuda}")
def cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The CUDA version of NVRTC in a test."""
    take_nvrtc(request.param, monkeypatch)
    return request.param


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 1000]


def test_every_kernel_of_the_sources_is_known_by_its_source():
    found = {
        (path.stem, name)
        for path in compiler.source_folder().glob("*.cu")
        for name in re.findall(r"^KERNEL\((\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert found == {(kernel.source, kernel.name) for kernel in kernels()}


@pytest.mark.slow
@pytest.mark.parametrize("source", sorted({kernel.source for kernel in kernels()}))
def test_every_source_compiles_without_a_gpu(source: str, cuda: int):
    assert compiler.compile_kernel(source, source, (), "sm_90").startswith(b"\x7fELF")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", ["blend", "blend_backward"])
def test_blending_keeps_all_its_numbers_in_registers(
    source: str, architecture: str, waves: int, cuda: int
):
    log = io.StringIO()
    defines = (("WAVES", str(waves)),)
    compiler.compile_kernel(source, source, defines, architecture, log)
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log.getvalue())
    assert spills
    assert all(number == "0" for pair in spills for number in pair), log.getvalue()


def test_an_error_names_the_kernel_its_options_and_the_first_line():
    with pytest.raises(compiler.KernelError, match=r"kernel blend \(WAVES=3\) for sm_90: .*error"):
        compiler.compile_kernel("blend", "blend", (("WAVES", "3"),), "sm_90")


@pytest.mark.parametrize("architecture", ["sm_1", "sm_35", "sm_999"])
def test_a_gpu_that_nvrtc_does_not_know_is_named_with_those_it_knows(cuda: int, architecture: str):
    message = rf"for {architecture}: NVRTC {cuda}\.\d+ knows sm_\d+ to sm_\d+: take a build of .*$"
    with pytest.raises(compiler.KernelError, match=message):
        compiler.compile_kernel("blend", "blend", BLEND, architecture)


def compiled() -> bytes:
    return compiler.find_cubin("blend", "blend", BLEND, "sm_90")


def test_a_kernel_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch):
    first = compiled()
    assert len(stored(cache)) == 1

    def refuse(*_: object) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(compiler, "compile_kernel", refuse)
    assert compiled() == first


@pytest.mark.parametrize("damage", ["empty", "text", "cut short", "zeros", "one bit"])
def test_a_damaged_file_is_compiled_again(cache: Path, damage: str):
    first = compiled()
    (file,) = stored(cache)
    whole = file.read_bytes()
    assert whole.endswith(first)
    content = {
        "empty": b"",
        "text": b"not a cubin" * 200,
        "cut short": whole[: len(whole) // 2],
        "zeros": bytes(len(whole)),
        "one bit": whole[:-1] + bytes([whole[-1] ^ 1]),
    }
    file.write_bytes(content[damage])
    assert compiled() == first
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(compiler.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    assert compiled().startswith(b"\x7fELF")


def test_another_source_option_or_architecture_is_another_file(cache: Path):
    for defines, architecture in ((BLEND, "sm_90"), (BLEND[:2], "sm_90"), (BLEND, "sm_80")):
        compiler.find_cubin("blend", "blend", defines, architecture)
    assert len(stored(cache)) == 3


def test_another_nvrtc_or_header_is_another_file(cache: Path, monkeypatch: pytest.MonkeyPatch):
    for count, major in enumerate(MAJORS, start=1):
        take_nvrtc(major, monkeypatch)
        compiled()
        assert len(stored(cache)) == count
    monkeypatch.setattr(compiler, "_headers", lambda: b"of another day")
    compiled()
    assert len(stored(cache)) == len(MAJORS) + 1


def test_a_machine_without_a_home_compiles_each_time(monkeypatch: pytest.MonkeyPatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compiler, "cache_folder", homeless)
    assert compiled().startswith(b"\x7fELF")


def test_the_least_recently_used_files_are_dropped_and_no_others(tmp_path: Path):
    cache, keys = CubinCache(tmp_path, limit=3500), [letter * 64 for letter in "abcd"]
    left = tmp_path / f"{keys[3]}.cubin.0123abcd"  # by a process that ended while it wrote
    other = tmp_path / "somebody's.cubin"
    for path in (left, other):
        path.write_bytes(bytes(2000))
        os.utime(path, ns=(0, 0))
    for age, key in enumerate(keys[:3], start=1):
        cache.put(key, key.encode() * 16)  # 1056 bytes, the digest included
        os.utime(tmp_path / f"{key}.cubin", ns=(age, age))
    assert other.exists()
    assert not left.exists()
    assert cache.get(keys[0]) == keys[0].encode() * 16  # used now
    cache.put(keys[3], keys[3].encode() * 16)
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_disturb_each_other(cache: Path):
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        results = list(pool.map(compile_in_process, [str(cache)] * 3))
    assert len(set(results)) == 1
    assert len(stored(cache)) == 1


def compile_in_process(folder: str) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiler.CACHE_VARIABLE, folder)
        return compiled()


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_machine_without_a_gpu_says_so():
    reason = why_unusable(torch.device("cuda"))
    assert reason is not None
    assert "torch" in reason
    assert "\n" not in reason

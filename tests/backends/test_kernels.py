"""Kernels: what Python hands them, how NVRTC compiles them, and how compiled ones are kept."""

from __future__ import annotations

import ctypes
import inspect
import io
import re
import struct
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from on_gpu import passes

from gaborsplat.renderer.backends import cpu
from gaborsplat.renderer.backends.cuda import backend as cuda
from gaborsplat.renderer.backends.cuda import nvrtc
from gaborsplat.renderer.backends.cuda.kernels import Kernel, Packer, find_kernel, source_folder

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
BLEND = (("GABORSPLAT_CHANNELS", "3"), ("GABORSPLAT_REAL", "float"), ("GABORSPLAT_WAVES", "2"))


def all_kernels() -> list[tuple[str, str]]:
    return [
        (path.stem, name)
        for path in sorted(source_folder().glob("*.cu"))
        for name in re.findall(r"^KERNEL\((\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(nvrtc.CACHE_VARIABLE, str(folder))
    return folder


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 1000]


def adam() -> tuple[Kernel, dict[str, object]]:
    kernel = find_kernel("descent", "adam_step")
    values: dict[str, object] = dict.fromkeys(name for name, _, pointer in kernel.fields if pointer)
    values |= {name: 0 for name, kind, pointer in kernel.fields if not pointer}
    return kernel, values


def pack(kernel: Kernel, values: dict[str, object]) -> bytes:
    return Packer(kernel, torch.float32, kernel.types(values)).pack(values)[0]


def test_arguments_are_laid_out_as_in_the_source():
    kernel, values = adam()
    tensor = torch.zeros(4)
    values |= {"gradients": tensor, "numbers": 4, "rate": 0.5, "eps": 0.25, "width": 2}
    packed = pack(kernel, values)
    expected = struct.pack("@PPPPPqfffffi", 0, 0, 0, tensor.data_ptr(), 0, 4, 0.5, 0, 0, 0, 0.25, 2)
    assert packed == expected
    assert len(packed) % 8 == 0


def test_arguments_that_are_missing_unknown_or_of_another_type_are_refused():
    kernel, values = adam()
    with pytest.raises(TypeError, match="missing or unknown: width"):
        pack(kernel, {name: value for name, value in values.items() if name != "width"})
    with pytest.raises(TypeError, match="missing or unknown: typo"):
        pack(kernel, values | {"typo": 1})
    for wrong in (torch.zeros(4, dtype=torch.float64), torch.zeros(4, 4).T[1:], 7):
        with pytest.raises(TypeError, match="gradients must be a contiguous tensor"):
            pack(kernel, values | {"gradients": wrong})


def test_both_backends_have_the_same_passes():
    assert len(passes()) == 11
    for name in passes():
        ours, theirs = inspect.signature(getattr(cuda, name)), inspect.signature(getattr(cpu, name))
        assert list(ours.parameters) == list(theirs.parameters), name


def test_a_kernel_that_is_not_there_is_named():
    with pytest.raises(LookupError, match=r"blend\.cu has no kernel nothing"):
        find_kernel("blend", "nothing")


@pytest.mark.parametrize(("source", "name"), all_kernels())
def test_every_kernel_compiles_without_a_gpu(source: str, name: str):
    cubin = nvrtc.compile_kernel(find_kernel(source, name), (), "sm_90")
    assert cubin.startswith(b"\x7fELF")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", ["blend", "blend_backward"])
def test_blending_keeps_all_its_numbers_in_registers(source: str, architecture: str, waves: int):
    log = io.StringIO()
    defines = (("GABORSPLAT_WAVES", str(waves)),)
    nvrtc.compile_kernel(find_kernel(source, source), defines, architecture, log)
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log.getvalue())
    assert spills
    assert all(number == "0" for pair in spills for number in pair), log.getvalue()


def test_an_error_names_the_kernel_its_options_and_the_first_line():
    kernel = find_kernel("blend", "blend")
    with pytest.raises(nvrtc.KernelError, match=r"kernel blend \(WAVES=3\) for sm_90: .*error"):
        nvrtc.compile_kernel(kernel, (("GABORSPLAT_WAVES", "3"),), "sm_90")
    with pytest.raises(nvrtc.KernelError, match="for sm_1"):
        nvrtc.compile_kernel(kernel, BLEND, "sm_1")


def compiled() -> bytes:
    return nvrtc.find_cubin(find_kernel("blend", "blend"), BLEND, "sm_90")


def test_a_kernel_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch):
    first = compiled()
    assert len(stored(cache)) == 1

    def refuse(*_: object) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(nvrtc, "compile_kernel", refuse)
    assert compiled() == first


@pytest.mark.parametrize("damage", ["empty", "text", "cut short"])
def test_a_damaged_file_is_compiled_again(cache: Path, damage: str):
    first = compiled()
    (file,) = stored(cache)
    content = {"empty": b"", "text": b"not a cubin" * 200, "cut short": first[: len(first) // 2]}
    file.write_bytes(content[damage])
    assert compiled() == first
    assert file.read_bytes() == first


def test_a_folder_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(nvrtc.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    assert compiled().startswith(b"\x7fELF")


def test_another_source_option_or_architecture_is_another_file(cache: Path):
    kernel = find_kernel("blend", "blend")
    for defines, architecture in ((BLEND, "sm_90"), (BLEND[:2], "sm_90"), (BLEND, "sm_80")):
        nvrtc.find_cubin(kernel, defines, architecture)
    assert len(stored(cache)) == 3


def test_processes_that_compile_at_once_do_not_disturb_each_other(cache: Path):
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        results = list(pool.map(compile_in_process, [str(cache)] * 3))
    assert len(set(results)) == 1
    assert len(stored(cache)) == 1


def compile_in_process(folder: str) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(nvrtc.CACHE_VARIABLE, folder)
        return compiled()


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_machine_without_a_gpu_says_so():
    reason = nvrtc.why_unusable(torch.device("cuda"))
    assert reason is not None
    assert "torch" in reason
    assert "\n" not in reason


class Driver:
    """Stands for cuda.bindings.driver: notes what is launched, and answers as told."""

    class CUresult:
        CUDA_SUCCESS = SimpleNamespace(name="CUDA_SUCCESS")
        CUDA_ERROR_INVALID_VALUE = SimpleNamespace(name="CUDA_ERROR_INVALID_VALUE")

    def __init__(self) -> None:
        self.launches: list[tuple[object, ...]] = []
        self.context = 0
        self.status = self.CUresult.CUDA_SUCCESS

    def cuCtxGetCurrent(self) -> tuple[object, int]:
        return self.CUresult.CUDA_SUCCESS, self.context

    def cuLaunchKernel(self, *arguments: int) -> tuple[object]:
        pointer = ctypes.c_void_p.from_address(arguments[9]).value
        assert pointer is not None
        self.launches.append((*arguments[:9], ctypes.string_at(pointer, 8)))
        return (self.status,)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """What the launcher finds where there seems to be a GPU."""
    driver = Driver()

    def set_current() -> None:
        driver.context = 1

    kernel = SimpleNamespace(handle=77)
    loaded = SimpleNamespace(get_kernel=lambda name: kernel)
    core = SimpleNamespace(
        Device=lambda index: SimpleNamespace(set_current=set_current),
        ObjectCode=SimpleNamespace(from_cubin=lambda cubin: loaded),
    )
    libraries = {"bindings.driver": driver, "core": core}
    monkeypatch.setattr(nvrtc, "_library", libraries.__getitem__)
    monkeypatch.setattr(nvrtc, "find_cubin", lambda *_: b"cubin")
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=5))
    return driver


def test_the_driver_gets_grid_block_stream_and_struct(driver: Driver):
    kernel = find_kernel("blend", "blend")
    nvrtc.NvrtcLauncher().launch(kernel, BLEND, (3, 2), b"argument", torch.device("cuda", 0))
    assert driver.launches == [(77, 3, 2, 1, 256, 1, 1, 0, 5, b"argument")]
    assert driver.context == 1, "a thread that has no context gets one"


def test_a_launch_that_fails_names_the_kernel_and_the_grid(driver: Driver):
    driver.status = driver.CUresult.CUDA_ERROR_INVALID_VALUE
    launcher, kernel = nvrtc.NvrtcLauncher(), find_kernel("blend", "blend")
    with pytest.raises(nvrtc.KernelError, match=r"blend .* \(3, 2\) blocks: CUDA_ERROR_INVALID"):
        launcher.launch(kernel, BLEND, (3, 2), b"argument", torch.device("cuda", 0))

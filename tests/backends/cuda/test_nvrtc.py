"""Which NVRTC is taken, and whether the driver goes with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import emulated
import pytest
import torch
from fake_driver import FakeDriver
from nvrtcs import installed_nvrtc

from gaborsplat.renderer.backends.cuda import nvrtc
from gaborsplat.renderer.backends.cuda.launcher import open_driver
from gaborsplat.renderer.backends.cuda.nvrtc import KernelError, Surroundings, candidates

LINUX = (
    "site/torch/lib/libnvrtc.so.12",
    "site/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
    "other/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
    "toolkit/lib64/libnvrtc.so.12",
    "conda/lib/libnvrtc.so.12",
)
"""Where CUDA 12's may be, in the order in which they are tried."""


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    """Empty folders around a torch for CUDA 12."""
    return Surroundings(
        cuda=12,
        torch=tmp_path / "site" / "torch",
        packages=(tmp_path / "site", tmp_path / "other"),
        systems=(tmp_path / "toolkit", tmp_path / "conda"),
        windows=False,
    )


def place(root: Path, *names: str) -> list[str]:
    """Files, which are no libraries."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not a library")
    return [str(root / name) for name in names]


def test_torchs_own_comes_first_then_the_systems_then_another_cuda(
    tmp_path: Path, around: Surroundings
):
    (newer,) = place(tmp_path, "site/nvidia/cu13/lib/libnvrtc.so.13")
    expected = place(tmp_path, *LINUX)
    assert candidates(around) == [*expected, "libnvrtc.so.12", newer, "libnvrtc.so.13"]
    for known in range(len(expected)):
        Path(expected[known]).unlink()
        assert candidates(around)[0] == [*expected, "libnvrtc.so.12"][known + 1]


@pytest.mark.parametrize(
    ("cuda", "majors"),
    [(12, [12, 13]), (13, [13, 12]), (14, [14, 13, 12]), (11, [11, 12, 13]), (None, [13, 12])],
)
def test_torchs_cuda_decides_then_what_most_drivers_load(
    tmp_path: Path, around: Surroundings, cuda: int | None, majors: list[int]
):
    names = {major: f"site/nvidia/cu{major}/lib/libnvrtc.so.{major}" for major in (13, 14)}
    names |= {12: LINUX[1], 11: "toolkit/lib64/libnvrtc.so.11"}
    paths = dict(zip(names, place(tmp_path, *names.values()), strict=True))
    found = [path for path in candidates(replace(around, cuda=cuda)) if Path(path).is_absolute()]
    assert found == [paths[major] for major in majors]


def test_windows_names_are_looked_for(tmp_path: Path, around: Surroundings):
    twelve = place(
        tmp_path,
        "site/torch/lib/nvrtc64_120_0.dll",
        "site/nvidia/cuda_nvrtc/bin/nvrtc64_120_0.dll",
        "toolkit/bin/nvrtc64_120_0.dll",
        "conda/Library/bin/nvrtc64_120_0.dll",
    )
    thirteen = place(
        tmp_path,
        "site/nvidia/cu13/bin/x86_64/nvrtc64_130_0.dll",
        "toolkit/bin/x64/nvrtc64_130_0.dll",
    )
    found = candidates(replace(around, windows=True))
    assert found == [*twelve, "nvrtc64_120_0.dll", *thirteen, "nvrtc64_130_0.dll"]


def test_this_process_tells_torchs_cuda_and_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch, "__file__", str(tmp_path / "torch" / "__init__.py"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "conda"))
    here = Surroundings.here()
    assert (here.cuda, here.torch, here.packages[0]) == (12, tmp_path / "torch", tmp_path)
    assert {tmp_path / "toolkit", tmp_path / "conda"} < set(here.systems)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert Surroundings.here().cuda is None


@pytest.mark.parametrize("cuda", nvrtc.MAJORS)
def test_a_file_that_is_no_library_is_passed_over(
    tmp_path: Path, around: Surroundings, monkeypatch: pytest.MonkeyPatch, cuda: int
):
    place(tmp_path, *LINUX)
    library = installed_nvrtc(cuda)
    packages = (*around.packages, Path(library).parents[3])
    mixed = replace(around, cuda=cuda, packages=packages)
    monkeypatch.delenv(nvrtc.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(Surroundings, "here", staticmethod(lambda: mixed))
    assert nvrtc.find_nvrtc().path == library
    assert nvrtc.find_nvrtc().version[0] == cuda


def test_where_there_is_none_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(nvrtc.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(nvrtc, "candidates", lambda _: place(tmp_path, LINUX[0]))
    with pytest.raises(KernelError, match=r"^the GPU needs NVRTC.*'gaborsplat\[cuda\]'.*$"):
        nvrtc.find_nvrtc()


def test_the_one_that_a_variable_names_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for cuda in nvrtc.MAJORS:
        monkeypatch.setenv(nvrtc.LIBRARY_VARIABLE, installed_nvrtc(cuda))
        assert nvrtc.find_nvrtc().version[0] == cuda
    (text,) = place(tmp_path, "text.so")
    for path in (text, torch._C.__file__):
        monkeypatch.setenv(nvrtc.LIBRARY_VARIABLE, path)
        with pytest.raises(KernelError, match=f"^GABORSPLAT_NVRTC: {path} is not NVRTC: .*$"):
            nvrtc.find_nvrtc()


@pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler")
@pytest.mark.parametrize(
    ("driver", "cuda", "advice"),
    [
        ((12, 0), 12, None),  # any minor version
        ((13, 0), 12, None),
        ((13, 0), 13, None),
        ((12, 4), 13, r"to one for CUDA 13, or pip install 'gaborsplat\[cuda\]'$"),
        ((11, 8), 12, "to one for CUDA 12$"),
    ],
)
def test_a_driver_too_old_for_nvrtc_is_named_with_both_versions(
    monkeypatch: pytest.MonkeyPatch, driver: tuple[int, int], cuda: int, advice: str | None
):
    monkeypatch.setenv(nvrtc.LIBRARY_VARIABLE, installed_nvrtc(cuda))
    fake = FakeDriver()
    fake.set_version(*driver)
    if advice is None:
        assert open_driver(fake.path).version == driver
        return
    version = r"{}\.{}".format(*driver)
    message = rf"^NVIDIA's driver is for CUDA {version}, too old for NVRTC {cuda}\.\d+ \(.*\): "
    with pytest.raises(KernelError, match=f"{message}update the driver {advice}"):
        open_driver(fake.path)

"""The native launcher, by a library that stands for NVIDIA's driver."""

from __future__ import annotations

import subprocess
from pathlib import Path
from threading import Thread
from typing import Any

import emulated
import pytest
import torch
from fake_driver import FakeDriver, catch_up

from gaborsplat.renderer._native import Driver, DriverError, plan

pytestmark = pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler")


@pytest.fixture
def fake() -> FakeDriver:
    return FakeDriver()


class Compiler:
    """Gives names for machine code, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: bytes | None = None

    def __call__(self, *what: Any) -> bytes:
        self.asked.append(what)
        return self.answer or f"cubin of {what[0]}".encode()


@pytest.fixture
def compiler() -> Compiler:
    return Compiler()


@pytest.fixture
def driver(compiler: Compiler, fake: FakeDriver) -> Driver:
    return Driver(compiler, fake.path)


def test_kernels_are_compiled_and_loaded_once_and_launched_in_order(
    driver: Driver, compiler: Compiler, fake: FakeDriver
):
    driver.launch([("catch_up", catch_up(600)), ("catch_up", catch_up(7))])
    assert compiler.asked == [("optimizer", "catch_up", [("REAL", "float")], "sm_90")]
    assert fake.notes() == [
        *("retain 0", "push 100", "load cubin of optimizer", "pop", "push 100", "pop", "push 100"),
        "launch 8 on stream 0: 3 x 1 of 256, first 600",
        "launch 8 on stream 0: 1 x 1 of 256, first 7",
        "pop",
    ]
    driver.launch([("catch_up", catch_up(7))])
    assert len(compiler.asked) == 1
    assert fake.notes() == ["push 100", "launch 8 on stream 0: 1 x 1 of 256, first 7", "pop"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs streams of torch's")
def test_kernels_are_launched_on_the_current_stream(driver: Driver, fake: FakeDriver):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        driver.launch([("catch_up", catch_up(7))])
    assert any(f"on stream {stream.cuda_stream}:" in note for note in fake.notes())


def test_another_type_or_another_gpu_is_another_kernel(
    driver: Driver, compiler: Compiler, fake: FakeDriver
):
    driver.launch([("catch_up", catch_up(7))])
    driver.launch([("catch_up", catch_up(7, dtype=torch.float64))])
    driver.launch([("catch_up", catch_up(7, gpu=1))])
    assert [(asked[2], asked[3]) for asked in compiler.asked] == [
        ([("REAL", "float")], "sm_90"),
        ([("REAL", "double")], "sm_90"),
        ([("REAL", "float")], "sm_86"),
    ]
    assert driver.architecture(1) == "sm_86"


def test_a_context_that_is_there_is_left_and_another_one_comes_back(
    driver: Driver, fake: FakeDriver
):
    driver.launch([("catch_up", catch_up(7))])
    fake.notes()
    fake.set_context(100)  # as torch leaves it
    driver.launch([("catch_up", catch_up(7))])
    assert fake.notes() == ["launch 8 on stream 0: 1 x 1 of 256, first 7"]
    fake.set_context(101)  # another GPU's
    driver.launch([("catch_up", catch_up(7))])
    assert fake.notes()[0::2] == ["push 100", "pop"]


def test_nothing_is_launched_on_no_blocks(driver: Driver, fake: FakeDriver):
    driver.launch([("catch_up", catch_up(0))])
    driver.launch([])
    assert not any(line.startswith("launch") for line in fake.notes())


def test_a_launch_that_fails_names_the_kernel_the_grid_and_the_error(
    driver: Driver, fake: FakeDriver
):
    fake.fail(1)
    message = "kernel catch_up was not launched on 3 x 1 blocks: CUDA_ERROR_INVALID_VALUE"
    with pytest.raises(DriverError, match=message):
        driver.launch([("catch_up", catch_up(600))])
    fake.fail(77)
    with pytest.raises(DriverError, match="3 x 1 blocks: an unknown error"):
        driver.launch([("catch_up", catch_up(600))])
    fake.fail(0)
    driver.launch([("catch_up", catch_up(600))])


def test_what_does_not_compile_or_load_is_an_error_and_is_tried_again(
    driver: Driver, compiler: Compiler
):
    compiler.answer = b"damaged"
    with pytest.raises(
        DriverError, match=r"kernels of optimizer\.cu do not load on GPU 0: CUDA_ERROR_INVALID_I"
    ):
        driver.launch([("catch_up", catch_up(7))])
    compiler.answer = None
    driver.launch([("catch_up", catch_up(7))])
    assert len(compiler.asked) == 2

    def refuse(*_: object) -> bytes:
        raise ValueError("no compiler")

    with pytest.raises(ValueError, match="no compiler"):
        Driver(refuse, FakeDriver().path).launch([("catch_up", catch_up(7))])


def test_tensors_of_another_gpu_are_refused(driver: Driver):
    launches = [("catch_up", catch_up(7)), ("catch_up", catch_up(7, gpu=1))]
    with pytest.raises(TypeError, match="catch_up: its tensors are on another device"):
        driver.launch(launches)


def test_a_gpu_that_is_not_there_is_named(driver: Driver):
    with pytest.raises(DriverError, match="there is no GPU 2: CUDA_ERROR_INVALID_DEVICE"):
        driver.launch([("catch_up", catch_up(7, gpu=2))])


def test_threads_launch_at_once(driver: Driver, fake: FakeDriver):
    def launch() -> None:
        for _ in range(50):
            driver.launch([("catch_up", catch_up(7))])

    threads = [Thread(target=launch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("launch" in line for line in fake.notes()) == 200


def test_a_driver_that_is_missing_or_too_old_is_named(tmp_path: Path):
    with pytest.raises(
        DriverError, match=r"driver is not installed or cannot be used: .*nothing\.so"
    ):
        Driver(Compiler(), str(tmp_path / "nothing.so"))
    source = tmp_path / "old.cpp"
    source.write_text('extern "C" int cuInit(unsigned) { return 0; }')
    library = tmp_path / "libold.so"
    subprocess.run([emulated.COMPILER, "-shared", "-fPIC", str(source), "-o", library], check=True)
    with pytest.raises(DriverError, match="has no cuDriverGetVersion: it is too old"):
        Driver(Compiler(), str(library))


def test_a_plan_tells_what_specialises_a_kernel():
    planned = plan("catch_up", catch_up(1000))
    assert planned.kernel.source == "optimizer"
    assert planned.grid == (4, 1)
    assert planned.kernel.threads == 256

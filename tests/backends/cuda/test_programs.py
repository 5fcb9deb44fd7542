"""Work that is recorded once and launched again and again."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import emulated
import pytest
import synthetic
import torch
from fake_driver import FakeDriver, OnGpu, catch_up

from gaborsplat.renderer._native import Driver
from gaborsplat.renderer.backends.cuda.launcher import Launch
from gaborsplat.renderer.raster.render import render, render_bytes
from gaborsplat.renderer.splats import Splats

pytestmark = pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler")


@pytest.fixture
def fake() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
def driver(fake: FakeDriver) -> Driver:
    return Driver(lambda *_: b"cubin", fake.path)


def test_a_program_is_a_graph_that_is_launched_in_one_call(driver: Driver, fake: FakeDriver):
    program = driver.record([("catch_up", catch_up(600)), ("catch_up", catch_up(7))])
    assert program.is_graph
    assert [note for note in fake.notes() if "node" in note] == [
        "node 8: 3 x 1 of 256, first 600",
        "node 8: 1 x 1 of 256, first 7",
    ]
    for _ in range(2):
        program.launch([])
        assert fake.notes() == ["push 100", "graph of 2 on stream 0", "pop"]
    del program
    assert "forget graph" in fake.notes()


def test_a_driver_that_makes_no_graph_gets_the_list_of_kernels(driver: Driver, fake: FakeDriver):
    fake.fail_graphs(801)
    program = driver.record([("catch_up", catch_up(600)), ("catch_up", catch_up(7))])
    assert not program.is_graph
    fake.notes()
    program.launch([])
    assert [note for note in fake.notes() if "launch" in note] == [
        "launch 8 on stream 0: 3 x 1 of 256, first 600",
        "launch 8 on stream 0: 1 x 1 of 256, first 7",
    ]


def test_inputs_are_copied_before_the_kernels_run(driver: Driver, fake: FakeDriver):
    program = driver.record([("catch_up", catch_up(7))])
    fake.notes()
    there, given = torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])
    program.launch([(OnGpu(there, 0), given)])
    assert fake.notes() == ["push 100", "copy 12", "graph of 1 on stream 0", "pop"]
    assert torch.equal(there, given)


@pytest.mark.parametrize(
    ("to", "given"),
    [
        (torch.zeros(3), torch.zeros(4)),
        (torch.zeros(3), torch.zeros(3, dtype=torch.float64)),
        (torch.zeros(2, 2), torch.zeros(2, 2).T),
    ],
    ids=["size", "type", "order"],
)
def test_an_input_that_does_not_fit_is_refused(
    to: torch.Tensor, given: torch.Tensor, driver: Driver
):
    program = driver.record([("catch_up", catch_up(7))])
    with pytest.raises(TypeError, match="contiguous, of one type and size"):
        program.launch([(OnGpu(to, 0), given)])
    with pytest.raises(TypeError, match="must go to the GPU"):
        program.launch([(OnGpu(torch.zeros(3), 1), torch.zeros(3))])


def test_a_program_without_kernels_does_nothing(driver: Driver, fake: FakeDriver):
    program = driver.record([("catch_up", catch_up(0))])
    program.launch([])
    assert not any("launch" in note or "graph" in note for note in fake.notes())


class Counting(emulated.Emulator):
    """Counts programs."""

    recorded = 0

    def record(self, launches: list[Launch]):
        self.recorded += 1
        return super().record(launches)


def shown(splats: Splats, turn: float = 0.0, size: int = 48) -> torch.Tensor:
    camera = synthetic.camera((size, 32))
    pose = camera.world_to_camera.clone()
    pose[0, 3] += turn
    return render_bytes(splats, replace(camera, world_to_camera=pose))


def test_recorded_pictures_are_those_that_are_drawn_anew():
    splats, launcher = synthetic.cloud(40, 1), Counting()
    with emulated.emulated_cuda(launcher):
        found = [shown(splats, turn, size) for size in (48, 64) for turn in (0.0, 0.3, -0.2, 0.0)]
        with torch.no_grad():
            anew = [
                shown(splats.map(torch.clone), turn, size)
                for size in (48, 64)
                for turn in (0.0, 0.3, -0.2, 0.0)
            ]
    assert launcher.recorded == 2
    for one, other in zip(found, anew, strict=True):
        assert torch.equal(one, other)
    assert len({picture.data_ptr() for picture in found}) == len(found)


def test_splats_that_change_in_place_are_seen_to():
    splats = synthetic.cloud(40, 0)
    with emulated.emulated_cuda():
        before = [shown(splats) for _ in range(3)]
        splats.opacities.mul_(0.3)
        after, expected = shown(splats), shown(splats.map(torch.clone))
    assert torch.equal(after, expected)
    assert not torch.equal(after, before[-1])


def test_lists_that_are_too_short_are_recorded_anew():
    splats, launcher = synthetic.cloud(60, 0), Counting()
    splats.scales.mul_(0.05)
    with emulated.emulated_cuda(launcher):
        for _ in range(3):
            shown(splats)
        splats.scales.mul_(40)
        found, expected = shown(splats), shown(splats.map(torch.clone))
    assert launcher.recorded == 2
    assert torch.equal(found, expected)


def test_what_is_recorded_does_not_keep_splats_in_memory():
    splats, launcher = synthetic.cloud(20, 0), Counting()
    with emulated.emulated_cuda(launcher):
        for _ in range(3):
            shown(splats)
        assert launcher.recorded == 1
        means = weakref.ref(splats.means)
        del splats
        gc.collect()
        assert means() is None


def test_a_picture_with_a_gradient_is_not_recorded():
    launcher = Counting()
    with emulated.emulated_cuda(launcher):
        leaves = synthetic.cloud(20, 0).map(lambda tensor: tensor.detach().requires_grad_())
        for _ in range(3):
            render(leaves, synthetic.camera()).color.sum().backward()
    assert launcher.recorded == 0


def test_splats_are_drawn_by_the_backend_that_is_in_use():
    splats = synthetic.cloud(20, 0)
    with emulated.emulated_cuda():
        for _ in range(3):
            shown(splats)
    other = Counting()
    with emulated.emulated_cuda(other):
        shown(splats)
    assert "blend" in other.launched


def test_poses_may_come_from_inference_or_with_a_gradient():
    splats = synthetic.cloud(20, 0)
    with emulated.emulated_cuda():
        expected = shown(splats)
        with torch.inference_mode():
            found = [shown(splats), shown(splats)]
        camera = synthetic.camera((48, 32))
        pose = camera.world_to_camera.clone().requires_grad_()
        found.append(render_bytes(splats, replace(camera, world_to_camera=pose)))
    for picture in found:
        assert torch.equal(picture, expected)

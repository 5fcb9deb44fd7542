"""In inference mode and without gradients all is the same, and nothing made there is of no use
outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
import torch
from public import GRADIENTS, QUICK, USES, World, expected, facts

import gaborsplat as gs

MODES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
}
STRATEGIES = ("mcmc", "default")


@pytest.fixture(scope="module")
def world_of_inference(world: World) -> World:
    """One whose tensors cannot be saved for a gradient."""
    with torch.inference_mode():
        return World(world.folder)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", USES)
def test_all_is_the_same_where_nothing_is_recorded(name: str, mode: str, world: World):
    wanted = [part for part in expected(name, world) if GRADIENTS not in part[0]]
    with MODES[mode]():
        assert facts(USES[name](world)) == wanted


@pytest.mark.parametrize("name", USES)
def test_tensors_made_in_inference_mode_are_taken_outside(
    name: str, world: World, world_of_inference: World
):
    assert world_of_inference.splats.means.is_inference()
    assert facts(USES[name](world_of_inference)) == expected(name, world)


@pytest.mark.parametrize("inside", [(0,), (1,), (0, 2), (1, 2)], ids=str)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_trainer_goes_in_and_out_of_inference_mode(
    strategy: str, inside: tuple[int, ...], world: World
):
    """It is made, takes the first half of its steps, and the second, in one mode or the other."""
    config = replace(QUICK, strategy=strategy)
    expected = gs.train(world.capture, config, device="cpu").splats

    with torch.inference_mode(0 in inside):
        trainer = gs.Trainer(world.capture, config)
    for half in (1, 2):
        with torch.inference_mode(half in inside):
            for _ in range(config.steps // 2):
                trainer.step()
            state = trainer.state_dict()
    with torch.inference_mode(1 in inside):
        trainer.load_state_dict(state)
    found = trainer.splats()
    assert facts(found) == facts(expected)
    live = found.map(lambda tensor: tensor.requires_grad_())
    gs.render(live, world.camera).color.sum().backward()
    assert live.means.grad is not None


def test_photos_that_were_read_in_inference_mode_have_a_part_in_gradients_outside(world: World):
    capture = gs.load_capture(world.path)
    view = capture.views[0]
    with torch.inference_mode():
        gs.evaluate(world.splats, capture.test)
        view.image()
    weight = torch.ones(3, requires_grad=True)
    (view.image().float() * weight).sum().backward()
    assert not view.image().is_inference()
    assert weight.grad is not None

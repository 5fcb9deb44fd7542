"""Everything public that holds no device can be pickled and copied, and means the same after it."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from public import CLASSES, QUICK, Gains, World, facts, mean_error

import gaborsplat as gs
from gaborsplat.renderer.training.config import Default
from gaborsplat.viewer.scene import TrainingStatus


def _report(world: World) -> gs.StepReport:
    return gs.Trainer(world.capture, QUICK).step()


def _source(world: World) -> gs.SceneSource:
    source = gs.SceneSource(world.splats, gs.RenderSettings(antialiased=True))
    source.status = TrainingStatus(3, 5, 40, 0.1)
    source.paused = True
    source.show_in(2.0)
    return source


def _correction(world: World) -> gs.Correction:
    gains = Gains()
    gains.build(world.capture.train)
    return gains


EXAMPLES: dict[str, Callable[[World], Any]] = {
    "Camera": lambda w: w.camera,
    "Capture": lambda w: gs.load_capture(w.path, max_size=30),
    "CaptureView": lambda w: gs.load_capture(w.path, max_size=30).test[0],
    "Correction": _correction,
    "Evaluation": lambda w: gs.evaluate(w.splats, w.capture.test),
    "Frame": lambda w: gs.render(w.splats, w.camera),
    "GaborWaves": lambda w: gs.GaborWaves(w.splats.frequencies, w.splats.coefficients),
    "InputError": lambda w: gs.InputError("scene.ply: no such file"),
    "LearningRates": lambda w: gs.LearningRates(means=1e-3),
    "Measured": lambda w: gs.Measured(torch.rand(4), torch.rand(2, 3, 3), torch.rand(2, 3)),
    "NamedCamera": lambda w: gs.NamedCamera(
        "one", w.camera, gs.load_capture(w.path).views[0].image
    ),
    "PhotometricObjective": lambda w: gs.PhotometricObjective(0.4),
    "Picture": lambda w: gs.Picture(torch.rand(2, 3, 3), torch.rand(2, 3), None),
    "RenderSettings": lambda w: gs.RenderSettings(background=(0.1, 0.2, 0.3), antialiased=True),
    "SceneSource": _source,
    "Score": lambda w: gs.Score(31.5, 0.93),
    "SplatFile": lambda w: gs.load_splat_file(w.file),
    "SplatMetadata": lambda w: gs.SplatMetadata(up="z"),
    "Splats": lambda w: w.splats,
    "StepReport": _report,
    "TorchObjective": lambda w: gs.TorchObjective(mean_error, depth=True),
    "TrainConfig": lambda w: gs.TrainConfig(steps=2000, gabor=1),
    "TrainResult": lambda w: gs.train(w.capture, replace(QUICK, steps=2), device="cpu"),
    "ViewerOptions": lambda w: gs.ViewerOptions(_source(w), origin=(1.0, 2.0, 3.0)),
}
"""By name of the public class, how to make one that is not as all others by default."""
REFUSED: dict[str, tuple[Callable[[World], Any], str]] = {
    "Trainer": (lambda w: gs.Trainer(w.capture, QUICK), "state_dict"),
    "Viewer": (lambda w: gs.Viewer(w.splats, port=0), "make another"),
}
"""What holds a device or serves, and what is said to whoever copies it."""
COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"protocol {protocol}": lambda value, protocol=protocol: pickle.loads(
            pickle.dumps(value, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


def _of_view(view: gs.CaptureView) -> Any:
    pixels = facts((view.image(), view.mask(), view.alpha()))
    return view.name, view.held_out, facts((view.camera, view.photo)), pixels


def _of_capture(capture: gs.Capture) -> Any:
    points = facts((capture.points, capture.point_colors, capture.origin, capture.repairs))
    digests = capture.digest(), capture.model_digest(), capture.photo_digests()
    return capture.name, points, digests, [_of_view(view) for view in capture.views]


def _of_source(source: gs.SceneSource) -> Any:
    state = (source.status, source.history, source.paused, source.settings, source.unit)
    return facts(source.current), facts(state), source.watched


MEANINGS: dict[type, Callable[[Any], Any]] = {
    Gains: lambda c: (c.name, facts(c.state_dict())),
    gs.Capture: _of_capture,
    gs.CaptureView: _of_view,
    gs.PhotometricObjective: lambda o: sorted(vars(o).items()),
    gs.TorchObjective: lambda o: sorted(vars(o).items()),
    gs.NamedCamera: lambda n: (n.name, facts(n.camera), facts(n.photo())),
    gs.SceneSource: _of_source,
    gs.StepReport: lambda r: (r.step, r.splats, r.seconds, r.view, r.skipped, r.outcome()),
    gs.ViewerOptions: lambda o: (_of_source(o.beside), o.actions, o.origin, o.stock_page),
}
"""What is to be compared of those that hold more than numbers."""


def meaning(value: Any) -> Any:
    """What a copy has to have of its original."""
    return MEANINGS.get(type(value), facts)(value)


def test_every_public_class_has_an_example():
    made = {name for name, cls in CLASSES.items() if not getattr(cls, "_is_protocol", False)}
    assert EXAMPLES.keys() | REFUSED.keys() == made


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_copy_means_the_same(name: str, way: str, world: World):
    original = EXAMPLES[name](world)
    found = COPIES[way](original)
    assert type(found) is type(EXAMPLES[name](world)) and isinstance(found, CLASSES[name])
    assert meaning(found) == meaning(original)
    if is_dataclass(found):
        with pytest.raises(FrozenInstanceError):
            setattr(found, fields(found)[0].name, None)


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_copied_says_what_to_do(name: str, way: str, world: World):
    make, advice = REFUSED[name]
    value = make(world)
    try:
        with pytest.raises(TypeError, match=rf"^a {name} cannot be (pickled|copied).*{advice}"):
            COPIES[way](value)
    finally:
        getattr(value, "close", lambda: None)()


@pytest.mark.parametrize("way", COPIES)
def test_what_nobody_gave_is_still_not_given(way: str):
    config = COPIES[way](gs.TrainConfig(steps=2000))
    assert config == gs.TrainConfig()
    assert config.not_given() == ["max_splats"]
    assert type(config.steps) is int and type(config.max_splats) is Default
    high = config.by_preset("high")
    assert (high.steps, high.max_splats) == (2000, 3_000_000)


def test_a_pickled_capture_carries_no_pixels(world: World):
    capture = gs.load_capture(world.path)
    before = len(pickle.dumps(capture))
    photos = [view.image() for view in capture.views]
    assert len(pickle.dumps(capture)) == before
    there = pickle.loads(pickle.dumps(capture))
    assert there.views[0]._cache is there.views[1]._cache
    assert facts([view.image() for view in there.views]) == facts(photos)


def test_a_copied_source_wakes_nobody_who_watches_the_original(world: World):
    source, woken = gs.SceneSource(world.splats), list[int]()
    source.watch(lambda: woken.append(1))
    found = copy.copy(source)
    found.publish(world.splats)
    assert not woken and source.current is not found.current


@pytest.mark.slow
def test_all_of_it_goes_to_another_process_and_back(world: World):
    there = {name: EXAMPLES[name](world) for name in EXAMPLES}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        back = pool.map(copy.copy, there.values())
        meant = pool.map(meaning, there.values())
    for name, value, said in zip(there, back, meant, strict=True):
        assert meaning(value) == meaning(there[name]) == said, name

"""Arguments of the passes: what is handed to a kernel is what its struct says, or is refused."""

from __future__ import annotations

import gc
import struct
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from gaborsplat.renderer._native import (
    BlendArguments,
    BlendOptions,
    CatchUpArguments,
    LossArguments,
    ProjectArguments,
    ProjectOptions,
    ShadeArguments,
    constants,
    cpu,
    plan,
)

QUOTIENT_OF_1 = 105
"""The byte that stands for it: see cuda/math/moments.h."""


def catching_up(dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    return {
        "splats": 4,
        "size": 3,
        "steps": 5,
        "beta1": 0.9,
        "beta2": 0.999,
        "missed": torch.zeros(5, dtype=dtype),
        "counters": torch.ones(constants.STEP_COUNTERS, dtype=torch.int64),
        "last_steps": torch.zeros(4, dtype=torch.int32),
        "values": torch.zeros(4, 3, dtype=dtype),
        "quotients": torch.zeros(4, 3, dtype=torch.uint8),
    }


def shading(**others: Any) -> dict[str, Any]:
    given = {
        "cameras": 1,
        "splats": 4,
        "sh_coeffs": 4,
        "sh0_coeffs": 4,
        "degree": 1,
        "means": torch.zeros(4, 3),
        "viewmats": torch.eye(4)[None],
        "sh0": torch.zeros(4, 4, 3),
        "projected": torch.ones(1, 4, dtype=torch.uint8),
        "visible": torch.zeros(1, 4, dtype=torch.uint8),
        "colors": torch.zeros(1, 4, 3),
    }
    return given | others


def test_a_struct_has_its_numbers_and_addresses_where_c_has_them():
    given = catching_up()
    packed = plan("catch_up", CatchUpArguments(**given)).arguments
    names = ("missed", "counters", "last_steps", "values", "quotients")
    addresses = [given[name].data_ptr() for name in names]
    assert packed == struct.pack("@qiqffPPPPPP", 4, 3, 5, 0.9, 0.999, *addresses, 0)


def test_numbers_are_of_the_type_of_the_tensors():
    for dtype, name in ((torch.float32, "float"), (torch.float64, "double")):
        planned = plan("catch_up", CatchUpArguments(**catching_up(dtype)))
        assert ("REAL", name) in planned.defines


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"values": torch.zeros(4, 2)}, ValueError, r"values holds 8 numbers, not 12"),
        ({"values": torch.zeros(4, 3).double()}, TypeError, "values must be .* of float32"),
        ({"values": torch.zeros(3, 4).T}, TypeError, "values must be a contiguous tensor"),
        ({"values": torch.zeros(4, 6)[:, ::2]}, TypeError, "values must be a contiguous tensor"),
        ({"values": 3}, TypeError, "values must be a contiguous tensor"),
        ({"values": None}, TypeError, "values must be a contiguous tensor"),
        ({"roots": torch.zeros(4, 3)}, TypeError, "roots must be a contiguous tensor of uint8"),
        ({"typo": 1}, TypeError, "has no argument typo"),
        ({"splats": -1}, ValueError, "splats is negative"),
        ({"size": 2**40}, TypeError, "size must be a whole number that fits"),
        ({"size": 1.5}, TypeError, "size must be a whole number"),
        ({"beta1": "a"}, TypeError, "beta1 must be a number"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    wrong: dict[str, Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=f"CatchUpArguments: {message}"):
        CatchUpArguments(**(catching_up() | wrong))


def test_what_is_missing_is_named_unless_it_may_be():
    given = catching_up()
    del given["beta2"]
    with pytest.raises(TypeError, match="CatchUpArguments: needs beta2"):
        CatchUpArguments(**given)
    assert CatchUpArguments(**catching_up())["roots"] == 0
    assert CatchUpArguments(**catching_up(), roots=None)["roots"] == 0


def test_tensors_of_two_devices_are_refused():
    with pytest.raises(TypeError, match="values must be on the CPU or an NVIDIA GPU"):
        CatchUpArguments(**(catching_up() | {"values": torch.zeros(4, 3, device="meta")}))


def test_shapes_are_made_of_the_sizes_that_were_given():
    apart = {"sh0_coeffs": 1, "sh0": torch.zeros(4, 1, 3)}
    ShadeArguments(**shading())
    ShadeArguments(**shading(**apart, sh_rest=torch.zeros(4, 3, 3)))
    with pytest.raises(ValueError, match=r"sh_rest holds 24 numbers, not 36"):
        ShadeArguments(**shading(**apart, sh_rest=torch.zeros(4, 2, 3)))
    with pytest.raises(ValueError, match="sh0_coeffs must be 4, not 1"):
        ShadeArguments(**shading(**apart))


@pytest.mark.parametrize("degree", [-1, 2, 4])
def test_a_degree_without_coefficients_is_refused(degree: int):
    with pytest.raises(ValueError, match=f"SH degree {degree}: 4 coefficients have 0 to 1"):
        ShadeArguments(**shading(degree=degree))


def test_options_are_handed_over_whole_and_bounded_by_what_the_type_can_hold():
    settings = {
        "near_plane": 0.01,
        "far_plane": 1e300,
        "eps2d": 0.3,
        "compensation_min": 0.0,
        "alpha_min": 1 / 255,
        "antialiased": True,
        "three_sigma": False,
    }
    unclipped = ProjectOptions(**settings)
    options = unclipped.replaced(radius_clip=2.0)
    with pytest.raises(TypeError, match="has no argument nothing"):
        options.replaced(nothing=1)
    blend = BlendOptions(
        alpha_min=0.1, alpha_max=0.9, transmittance_min=1e-4, background=(0.1, 0.2, 0.3)
    )
    with pytest.raises(ValueError, match="background holds 2 numbers, not 3"):
        blend.replaced(background=(0.1, 0.2))
    seen = {"radii": torch.zeros(1, 1, 2, dtype=torch.int32), "visible": torch.zeros(1, 1).byte()}
    numbers = {"means": 3, "quats": 4, "scales": 3, "opacities": 1, "viewmats": 16, "intrinsics": 9}
    numbers |= {"means2d": 2, "depths": 1, "conics": 3, "opacities2d": 1, "cutoffs": 1}
    numbers |= {"frequencies": 0, "coefficients": 0, "modulation2d": 0}
    sizes = {"cameras": 1, "splats": 1, "waves": 0, "modulation_size": 0, "width": 8, "height": 8}
    for dtype, far_plane in (
        (torch.float32, torch.finfo(torch.float32).max),
        (torch.float64, 1e300),
    ):
        arrays = {name: torch.zeros(count, dtype=dtype) for name, count in numbers.items()}
        arguments = ProjectArguments(**sizes, raw=False, options=options, **arrays, **seen)
        assert arguments["radius_clip"] == 2.0
        unchanged = ProjectArguments(**sizes, raw=False, options=unclipped, **arrays, **seen)
        assert unchanged["radius_clip"] == 0.0
        assert arguments["far_plane"] == far_plane
        assert arguments["antialiased"] == 1
    with pytest.raises(TypeError, match="options is of another type"):
        ProjectArguments(**sizes, raw=False, options=blend, **arrays, **seen)


def test_fields_can_be_read_and_changed():
    arguments = CatchUpArguments(**catching_up())
    assert arguments["splats"] == 4
    assert arguments["size"] == 3
    other = torch.ones(5)
    copy = arguments.copy()
    copy.set(missed=other, beta1=0.25)
    assert copy["missed"] == other.data_ptr() != arguments["missed"]
    assert copy["beta1"] == 0.25 != arguments["beta1"]
    with pytest.raises(ValueError, match="missed holds 3 numbers"):
        copy.set(missed=torch.ones(3))
    with pytest.raises(KeyError, match="nothing"):
        arguments["nothing"]
    arrays = {array.name: array for array in arguments.arrays()}
    assert arrays["values"].number == "float32"
    assert arrays["values"].count == 12
    assert arrays["values"].written and not arrays["missed"].written


def test_either_of_two_arrays_may_be_left_out():
    photo = torch.zeros(2, 3, 3, dtype=torch.uint8)
    arguments = LossArguments(
        width=3,
        height=2,
        parts=0,
        ssim_weight=0.2,
        image=torch.zeros(2, 3, 3),
        photo_bytes=photo,
        means=torch.zeros(4, dtype=torch.float64),
    )
    assert arguments["photo_bytes"] == photo.data_ptr()
    assert arguments["photo"] == 0


class OlderTensor:
    """A tensor as torch before 2.10 shows it to C++: by its Python attributes alone."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._tensor, name)


def test_tensors_of_older_torch_are_read_by_their_attributes():
    given = {
        name: OlderTensor(value) if isinstance(value, Tensor) else value
        for name, value in catching_up().items()
    }
    given["missed"]._tensor.fill_(0.25)
    given["quotients"]._tensor.fill_(QUOTIENT_OF_1)
    cpu.catch_up(CatchUpArguments(**given))
    assert torch.equal(given["values"]._tensor, torch.full((4, 3), -0.25))
    given["values"] = OlderTensor(torch.zeros(3, 4).T)
    with pytest.raises(TypeError, match="values must be a contiguous tensor"):
        CatchUpArguments(**given)


def test_arguments_of_another_pass_are_refused():
    arguments = CatchUpArguments(**catching_up())
    with pytest.raises(TypeError, match="kernel blend takes another struct"):
        plan("blend", arguments)
    with pytest.raises(KeyError, match="there is no kernel nothing"):
        plan("nothing", arguments)
    with pytest.raises(TypeError):
        cpu.shade(arguments)


def test_a_struct_keeps_alive_what_it_points_to():
    given = catching_up()
    arguments = CatchUpArguments(**given)
    tensors = [weakref.ref(value) for value in given.values() if isinstance(value, Tensor)]
    del given
    gc.collect()
    assert all(tensor() is not None for tensor in tensors)
    moved = torch.ones(4, 3)
    arguments.set(values=moved)
    assert arguments["values"] == moved.data_ptr()
    del arguments
    gc.collect()
    assert all(tensor() is None for tensor in tensors)


def test_an_array_without_numbers_is_not_one_that_is_missing():
    apart = {"splats": 0, "sh0_coeffs": 1}
    empty = {
        "means": torch.zeros(0, 3),
        "sh0": torch.zeros(0, 1, 3),
        "projected": torch.ones(1, 0, dtype=torch.uint8),
        "visible": torch.zeros(1, 0, dtype=torch.uint8),
        "colors": torch.zeros(1, 0, 3),
    }
    cpu.shade(ShadeArguments(**shading(**apart, **empty, sh_rest=torch.zeros(0, 3, 3))))
    with pytest.raises(ValueError, match="sh0_coeffs must be 4, not 1"):
        ShadeArguments(**shading(**apart, **empty))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 10**9}, ValueError, "values must be set too: its shape is another one"),
        ({"beta1": 0.5, "values": torch.zeros(2, 3)}, ValueError, "values holds 6 numbers"),
        ({"values": torch.zeros(4, 3).double()}, TypeError, "values must be .* of float32"),
        ({"beta1": 0.5, "typo": 1}, TypeError, "has no argument typo"),
    ],
)
def test_a_change_that_does_not_fit_changes_nothing(
    change: dict[str, Any], error: type[Exception], message: str
):
    arguments = CatchUpArguments(**catching_up())
    before = plan("catch_up", arguments).arguments
    with pytest.raises(error, match=message):
        arguments.set(**change)
    assert plan("catch_up", arguments).arguments == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_of_numbers_does_not_hang_on_the_order_of_arguments(dtype: torch.dtype):
    given = loss(dtype)
    for order in (list(given), list(reversed(given))):
        assert LossArguments(**{name: given[name] for name in order}).is_double == (
            dtype == torch.float64
        )


def loss(dtype: torch.dtype = torch.float32, **others: Any) -> dict[str, Any]:
    given = {
        "means": torch.zeros(4, dtype=torch.float64),
        "width": 2,
        "height": 2,
        "ssim_weight": 0.2,
        "image": torch.zeros(2, 2, 3, dtype=dtype),
        "photo": torch.zeros(2, 2, 3, dtype=dtype),
    }
    return given | others


def test_a_loss_is_of_one_photo():
    both = {"photo_bytes": torch.zeros(2, 2, 3, dtype=torch.uint8)}
    for wrong in (both, {"photo": None}):
        with pytest.raises(ValueError, match="one of photo, photo_bytes"):
            LossArguments(**loss(**wrong))
    LossArguments(**loss(photo=None, **both))


def blending(channels: int, **outputs: Tensor) -> BlendArguments:
    options = BlendOptions(
        alpha_min=0.0, alpha_max=0.99, transmittance_min=0.0, background=(0, 0, 0)
    )
    sizes = {"cameras": 1, "splats": 0, "pairs": 0, "tiles": 1, "waves": 0, "modulation_size": 0}
    names = {"means2d": 2, "conics": 3, "colors": channels, "modulation2d": 0}
    return BlendArguments(
        **sizes,
        channels=channels,
        color_channels=channels,
        width=2,
        height=2,
        options=options,
        **{name: torch.zeros(0, size) for name, size in names.items()},
        opacities2d=torch.zeros(0),
        cutoffs=torch.zeros(0),
        splat_ids=torch.zeros(0, dtype=torch.int32),
        offsets=torch.zeros(2, dtype=torch.int64),
        **outputs,
    )


def test_a_blend_gives_image_and_transmittance_or_bytes():
    image, transmittance = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2)
    as_bytes = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    cpu.blend(blending(3, image=image, transmittance=transmittance))
    cpu.blend(blending(3, bytes=as_bytes))
    wrong = (
        {},
        {"image": image},
        {"transmittance": transmittance},
        {"image": image, "bytes": as_bytes},
    )
    for outputs in wrong:
        with pytest.raises(ValueError, match="blending gives image and transmittance, or bytes"):
            blending(3, **outputs)
    with pytest.raises(ValueError, match="bytes need 3 channels"):
        blending(1, bytes=as_bytes)

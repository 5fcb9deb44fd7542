"""Gabor splats as plain Gaussians, and what that loses."""

from __future__ import annotations

from collections.abc import Sequence

from ...console import console
from ...inputs.loading import LoadedScene
from ...progress import fitting
from ...renderer.splats import Splats
from ...renderer.training import evaluate, to_gaussians
from ...scenes import CaptureView, InputError, bake
from .views import Views, agreement


def baked(
    scene: LoadedScene, budget: int | None, views: Views, held_out: Sequence[CaptureView]
) -> Splats:
    """The scene's splats without waves; prints what each way of baking loses.

    Args:
        scene: on the device that computes.
        budget: how many Gaussians there may be; None for one a splat.
        views: what Gaussians are fitted to, and from where they are compared.
        held_out: views with photos to judge by; without any, pictures of the scene are.

    Raises:
        InputError: the budget is less than the number of splats.
    """
    splats = scene.splats
    if splats.waves == 0:
        console.print("--bake: there are no waves")
        return splats
    if budget is not None and budget < len(splats):
        raise InputError(
            f"--budget: must be at least the {len(splats)} splats that there are, not {budget}"
        )
    damped = bake(splats)
    compared = {"damped to the mean": damped}
    if budget is not None:
        with fitting("fit Gaussians") as progress:
            split = to_gaussians(splats, views.fitted, budget, scene.settings, progress=progress)
        compared[f"split into {len(split):,} Gaussians"] = split
    before = evaluate(splats, held_out, scene.settings).psnr
    pictures = views.pictures(splats, scene.settings) if before is None else []
    for name, plain in compared.items():
        if before is not None:
            after = evaluate(plain, held_out, scene.settings).psnr or 0
            lost = f"{before - after:.2f} dB lost on {len(held_out)} test views"
            console.print(f"{name}: {after:.2f} dB, {lost}")
        else:
            agrees = agreement(views.pictures(plain, scene.settings), pictures)
            console.print(f"{name}: agrees with the original to {agrees:.2f} dB PSNR")
    return list(compared.values())[-1]

"""What every splat adds to photos, and how wrong these are where it does."""

from __future__ import annotations

import torch
from torch import Tensor

from ...splats import RawSplats
from ..data import Turns, load_photo
from ..step.runner import StepRunner


@torch.no_grad()
def survey(raw: RawSplats, turns: Turns, runner: StepRunner, degree: int, count: int) -> Tensor:
    """[N, 3] sums over `count` photos, or those of them that can be read: 1 where the photo shows
    the splat; over its pixels, the splat's blending weight; and that weight times the error there.

    The error of several photos is so projected back onto the splats that drew it, as in FastGS.
    Takes a picture and the gradient of its blending per photo, by `runner`, which forgets them;
    `degree` is that of the harmonics.
    """
    found = raw.means.new_zeros(len(raw), 3)
    for view in turns.some(count):
        photo = turns.left_out.photo(view, lambda each: load_photo(each, raw.means.device))
        if photo is None:
            continue
        photo = photo.over(runner.settings.background)
        picture = runner.forward(raw, runner.camera_of(photo), sh_degree=degree)
        shown, shares = runner.shares(picture, photo)
        found += torch.cat([shown[:, None].to(found), shares.to(found)], dim=1)
        runner.forget()
    return found

"""A capture: photos with cameras, and points on what they show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..renderer.cameras import Camera
from ..renderer.training.data import CACHE_BYTES, where_counts
from .colmap.model import ColmapImage, ColmapModel
from .colmap.reading import find_models, home_of, is_undistorted, model_suffix, read_model
from .errors import InputError, printable
from .photos.choosing import MIN_PHOTOS, check_enough, choose_photos, fewest
from .photos.finding import FOLDERS, Found, find_photos
from .photos.fingerprint import fingerprint, fingerprint_of_files
from .photos.images import Photo, PhotoCache
from .photos.lenses import Lens, lens_of
from .photos.masks import MODES, MaskMode, mask_places, with_masks
from .photos.names import is_hidden, safe_names
from .photos.panorama import cut_panoramas
from .placing import origin_for, usable_points
from .sfm.running import Report
from .sources import Sfm, capture_folder, is_capture_path, read_source

TEST_EVERY = 8
"""Of a model's images sorted by name, those with index % TEST_EVERY == 0 are for testing, where the
capture itself says nothing of it. Images whose photos are left out count: what a view is for does
not depend on others."""


@dataclass(frozen=True, eq=False)
class CaptureView:
    """One photo and the pinhole camera that took it.

    Attributes:
        name: name in the model, with forward slashes for sub-folders; made a relative path that no
            other view has and that every system takes, see `scenes.photos.names`.
        camera: pose and intrinsics, float32, on the CPU.
        photo: the file, and the lens that is taken out of it.
        held_out: whether it is for testing.
    """

    name: str
    camera: Camera
    photo: Photo
    _cache: PhotoCache = field(repr=False)
    held_out: bool = False

    @property
    def transparent(self) -> bool:
        """Whether what `alpha` masks out is empty, rather than not to be looked at."""
        return self.photo.is_transparent

    def image(self) -> Tensor:
        """[H, W, 3] uint8 RGB. Decoded when first asked for, then shared: not to be written to."""
        image = self._cache.get(("image", self.name), lambda: self._decoded()[0])
        assert image is not None
        return image

    def alpha(self) -> Tensor | None:
        """[H, W] uint8, how much of each pixel counts by a mask or an alpha channel; None if all
        of all. Shared: not to be written to."""
        if not self.photo.is_masked:
            return None
        return self._cache.get(("alpha", self.name), lambda: self._decoded()[1])

    def mask(self) -> Tensor | None:
        """[H, W] bool, True where the photo has a value, and one that counts unless it is
        `transparent`; None if it has one everywhere. Shared: not to be written to."""
        valid = self._cache.get(("valid", self.photo.lens), self.photo.valid)
        if self.transparent or not self.photo.is_masked:
            return valid
        return self._cache.get(("mask", self.name), lambda: self._counting(valid))

    def shown(self) -> Tensor:
        """[H, W, 3] `image`, black where it does not count."""
        image, alpha = self.image(), self.alpha()
        return image if alpha is None else image * where_counts(alpha)[..., None]

    def _counting(self, valid: Tensor | None) -> Tensor | None:
        alpha = self.alpha()
        return valid if alpha is None else where_counts(alpha, valid)

    def _decoded(self) -> tuple[Tensor, Tensor | None]:
        image, alpha = self.photo.decode_with_alpha()
        self._cache.put(("image", self.name), image)
        if self.photo.is_masked:
            self._cache.put(("alpha", self.name), alpha)
        return image, alpha


@dataclass(frozen=True, eq=False)
class Capture:
    """Everything that training needs to know of a scene.

    Attributes:
        name: name of the folder.
        views: all photos that can be used with their cameras, sorted by name.
        points: [P, 3] float32 sparse points, relative to `origin`.
        point_colors: [P, 3] uint8 RGB of the points.
        origin: [3] float64, subtracted from all coordinates; zeros for a scene near zero.
        repairs: what was wrong in the capture and how it was taken, and what was left out, one line
            each.
        model: the COLMAP model, as it was read, or what transforms.json says in its terms.
    """

    name: str
    views: tuple[CaptureView, ...]
    points: Tensor
    point_colors: Tensor
    origin: Tensor
    repairs: tuple[str, ...]
    model: ColmapModel

    @property
    def train(self) -> tuple[CaptureView, ...]:
        """The views to learn from: all others."""
        return tuple(view for view in self.views if not view.held_out)

    @property
    def test(self) -> tuple[CaptureView, ...]:
        """The views held out: those that the capture's files name, or every 8th by name, beginning
        with the first."""
        return tuple(view for view in self.views if view.held_out)

    def digest(self) -> str:
        """SHA-256 over the model's files and the photos' names and sizes, in hexadecimal."""
        digest = hashlib.sha256()
        for path in self.model.files:
            digest.update(f"{path.name}\n".encode())
            digest.update(path.read_bytes())
        for view in self.views:
            size = view.photo.path.stat().st_size
            digest.update(f"{view.name} {view.photo.size} {size}\n".encode())
        return digest.hexdigest()

    def model_digest(self) -> str:
        """SHA-256 over the content of the model's files, in hexadecimal."""
        return fingerprint_of_files(self.model.files)

    def photo_digests(self) -> dict[str, str]:
        """What tells each photo from others, by the name of its view: its content, wherever it is
        (see `fingerprint`). Photos that are gone by now have none."""
        digests: dict[str, str] = {}
        for view in self.views:
            with suppress(OSError):
                digests[view.name] = fingerprint(view.photo.path)
        return digests


def load_capture(  # noqa: PLR0913 - options by name
    path: str | Path,
    *,
    max_size: int | None = None,
    images: str | Path | None = None,
    cache_bytes: int = CACHE_BYTES,
    sfm: bool | str | Path = False,
    sfm_progress: Report | None = None,
    masks: str | Path | None = None,
    mask_mode: MaskMode = "auto",
) -> Capture:
    """Reads a capture: the COLMAP model in `path` and the photos in `path`/images, or else
    transforms.json and the photos that it names.

    Photos are decoded when they are first used, but all of them are found and measured here. Those
    that are missing, cannot be read or do not fit the model are left out (see `Capture.repairs`).
    Lens distortion is taken out, and panoramas are cut into views: see `scenes.photos`.

    Args:
        path: folder of the capture, or of its model, or its transforms.json.
        max_size: photos are shrunk to this many pixels on their longest side.
        images: folder of the photos, absolute or relative to `path`, if not `path`/images.
        cache_bytes: memory for decoded photos.
        sfm: whether photos without a model are given to COLMAP, which takes minutes and needs
            pycolmap. The model is kept for the next time: in a cache, or in the folder named here.
        sfm_progress: called with what COLMAP does, how many photos are done and how many there are;
            by default a line is logged for each thing it does.
        masks: folder of masks, absolute or relative to `path`; by default alpha channels, what
            transforms.json names and `path`/masks are taken, and nothing for "none".
        mask_mode: "ignore" lets what is masked out count nowhere; "transparent" takes it for empty;
            "auto" is "transparent" for alpha channels of transforms.json, else "ignore".

    Raises:
        InputError: there is no model and COLMAP cannot make one, it is damaged, or fewer than three
            photos or less than half of them can be used.
    """
    root = Path(path)
    if not is_capture_path(root):
        raise InputError(f"{root}: no such folder")
    if max_size is not None and max_size < 1:
        raise InputError(f"the longest side of a photo must be at least 1 pixel, not {max_size}")
    if mask_mode not in MODES:
        raise InputError(f"mask_mode must be one of {', '.join(MODES)}, not {mask_mode}")
    repairs: list[str] = []
    folder = _folder(root, images, "photos")
    wanted = Sfm(sfm is not False, None if isinstance(sfm, bool) else Path(sfm), sfm_progress)
    first = read_source(root, repairs, folder, wanted)
    model, found = _with_photos(first, root, folder, max_size, repairs)
    lenses = _lenses(model)
    photos = choose_photos(found, lenses, max_size, repairs)
    if masks != "none":
        beside = [found.folder.parent] if found.folder.name in FOLDERS else []
        homes = [home_of(model.folder), *beside, found.folder, capture_folder(root)]
        places = mask_places(model, homes, _folder(root, masks, "masks"), repairs)
        photos = with_masks(photos, places, mask_mode, repairs)
    check_enough(found.folder, found.reasons, len(photos), len(model.images), found.masks)
    points = usable_points(model, repairs)
    origin = origin_for(np.array([image.centre for image in model.images]), points.xyz)
    if origin.any():
        repairs.append(f"{model.folder}: moved the scene to zero, by {_numbers(-origin)}")
    views = _views(model, lenses, photos, origin, PhotoCache(cache_bytes), repairs)
    reasons = sorted(found.reasons.items())
    repairs += [f"left out {printable(name)}: {reason}" for name, reason in reasons]
    return Capture(
        name=capture_name(root),
        views=views,
        points=torch.from_numpy((points.xyz - origin).astype(np.float32)),
        point_colors=torch.from_numpy(points.rgb.copy()),
        origin=torch.from_numpy(origin),
        repairs=tuple(repairs),
        model=model,
    )


def capture_name(root: Path) -> str:
    """What a capture at `root`, its folder, that of its model or a file in it, is called."""
    folder = capture_folder(root.resolve())
    if model_suffix(folder):  # perhaps CAPTURE/sparse/0
        folder = folder.parent if folder.name.isdigit() else folder
        folder = folder.parent if folder.name == "sparse" else folder
    return folder.name or "scene"


def _folder(root: Path, named: str | Path | None, what: str) -> Path | None:
    if named is None:
        return None
    folder = capture_folder(root) / named
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of {what}")
    return folder


def _with_photos(
    first: ColmapModel,
    root: Path,
    images: Path | None,
    max_size: int | None,
    repairs: list[str],
) -> tuple[ColmapModel, Found]:
    """The `first` model, unless it has too few photos and another one in `root` has enough."""
    if len(first.images) < MIN_PHOTOS:
        raise InputError(
            f"{first.images_file}: {len(first.images)} usable images; "
            f"at least {MIN_PHOTOS} are needed"
        )
    found = _photos_of(first, root, images, max_size)
    chosen, there = (first, found), len(found.paths)
    if there < fewest(len(first.images)) and images is None:
        for folder in find_models(root, []):
            with suppress(InputError):  # the first is the one to be told about
                model = read_model(folder)
                other = _photos_of(model, root, images, max_size)
                if len(other.paths) >= fewest(len(model.images)):
                    repairs.append(
                        f"{folder}: took this model and its photos; {there} of the "
                        f"{len(first.images)} photos of {first.folder} are there"
                    )
                    chosen = model, other
                    break
    model, found = chosen
    if model is first and images is None:
        with suppress(InputError):  # what is not used may be damaged
            others = (folder for folder in find_models(root, []) if folder != first.folder)
            other = next(others, None)
            if other is not None:
                repairs.append(f"{other}: is another model, which is not used")
    repairs += [*model.repairs, *found.notes]
    return model, found


def _photos_of(model: ColmapModel, root: Path, images: Path | None, max_size: int | None) -> Found:
    names = [image.name for image in model.images]
    if images is not None:
        return find_photos([images], names, max_size)
    if model.photos is not None:
        return find_photos([model.photos], names, max_size)
    beside = root.resolve().parents[:2] if model_suffix(root) else ()
    return find_photos(_homes(root, model.folder), names, max_size, beside=beside)


def _homes(root: Path, model: Path) -> list[Path]:
    """Folders of a capture that may hold the photos of its model, the model's own first. Photos
    that COLMAP has undistorted have a model of their own, and that no others."""
    home = home_of(model)
    if model_suffix(root) or is_undistorted(home):
        return [home]
    return list(dict.fromkeys([home, root.resolve()]))


def _views(
    model: ColmapModel,
    lenses: Mapping[str, Lens],
    photos: Mapping[str, Photo],
    origin: NDArray[np.float64],
    cache: PhotoCache,
    repairs: list[str],
) -> tuple[CaptureView, ...]:
    """The views whose photos can be used, sorted by what the model calls them."""
    meant = [image for image in model.images if image.name in photos or not is_hidden(image.name)]
    cuts = cut_panoramas(meant, lenses, repairs)
    names = safe_names([cut.image.name for cut in cuts])
    views: list[CaptureView] = []
    for index, (cut, name) in enumerate(zip(cuts, names, strict=True)):
        if cut.photo in photos:
            photo = cut.of(photos[cut.photo])
            camera = _camera(cut.image, photo.lens, origin)
            stated = cut.image.held_out
            held_out = index % TEST_EVERY == 0 if stated is None else stated
            views.append(CaptureView(name, camera, photo, cache, held_out))
    return tuple(views)


def _lenses(model: ColmapModel) -> dict[str, Lens]:
    """The lens of each image, by its name."""
    lenses: dict[int, Lens] = {}
    for camera_id in {image.camera_id for image in model.images}:
        try:
            lenses[camera_id] = lens_of(model.cameras[camera_id])
        except InputError as error:
            raise InputError(f"{model.files[0]}: {error}") from error
    return {image.name: lenses[image.camera_id] for image in model.images}


def _camera(image: ColmapImage, lens: Lens, origin: NDArray[np.float64]) -> Camera:
    # x_camera = R x + t = R (x - origin) + (t + R origin), in float64 as both terms are large.
    pose = np.eye(4)
    pose[:3, :3] = image.rotation
    pose[:3, 3] = image.tvec + image.rotation @ origin
    return Camera(
        world_to_camera=torch.from_numpy(pose.astype(np.float32)),
        intrinsics=torch.from_numpy(lens.pinhole.intrinsics.astype(np.float32)),
        size=lens.pinhole.size,
    )


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.9g}" for value in values)

"""Where scenes come from and where splats go: COLMAP captures, splat files, the demo."""

from __future__ import annotations

from pathlib import Path

from ..renderer.bake import bake as bake
from ..renderer.files import replacing as replacing
from .capture import Capture as Capture
from .capture import CaptureView as CaptureView
from .capture import capture_name as capture_name
from .capture import load_capture as load_capture
from .check import check_photos as check_photos
from .colmap.model import ColmapModel as ColmapModel
from .colmap.reading import find_model as find_model
from .colmap.reading import read_model as read_model
from .colmap.writing import write_model as write_model
from .errors import InputError as InputError
from .errors import one_line as one_line
from .errors import printable as printable
from .photos.images import fit_within as fit_within
from .photos.masks import MaskMode as MaskMode
from .plausibility import doubts as doubts
from .sources import capture_folder as capture_folder
from .splats.containers import holds_splats as holds_splats
from .splats.containers import splat_file_in as splat_file_in
from .splats.files import VERIFIABLE as VERIFIABLE
from .splats.files import SplatFile as SplatFile
from .splats.files import check_waves as check_waves
from .splats.files import check_writable as check_writable
from .splats.files import load_splat_file as load_splat_file
from .splats.files import load_splats as load_splats
from .splats.files import read_independently as read_independently
from .splats.files import save_splats as save_splats
from .splats.formats.splat_ply import stated_origin as stated_origin
from .splats.metadata import DEFAULT_METADATA as DEFAULT_METADATA
from .splats.metadata import Axis as Axis
from .splats.metadata import Frame as Frame
from .splats.metadata import SplatMetadata as SplatMetadata
from .splats.metadata import axis_vector as axis_vector
from .splats.notes import origin_file as origin_file
from .splats.registry import META_NAMES as META_NAMES
from .splats.registry import READABLE as READABLE
from .splats.registry import WRITABLE as WRITABLE
from .splats.registry import carries as carries


def demo_path() -> Path:
    """The capture that ships with the package: 12 photos of a door, see demo/LICENSE."""
    return Path(__file__).parent / "demo"

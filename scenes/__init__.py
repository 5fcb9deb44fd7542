"""Where scenes come from and where splats go: COLMAP captures, splat files, the demo."""

from __future__ import annotations

from pathlib import Path

from ..renderer.bake import bake as bake
from .atomic import replacing as replacing
from .capture import Capture as Capture
from .capture import CaptureView as CaptureView
from .capture import capture_name as capture_name
from .capture import load_capture as load_capture
from .colmap import find_model as find_model
from .colmap import read_model as read_model
from .colmap_model import ColmapModel as ColmapModel
from .errors import InputError as InputError
from .errors import one_line as one_line
from .formats import READABLE as READABLE
from .formats import VERIFIABLE as VERIFIABLE
from .formats import WRITABLE as WRITABLE
from .formats import check_writable as check_writable
from .formats import load_splats as load_splats
from .formats import read_independently as read_independently
from .formats import save_splats as save_splats
from .splat_ply import is_antialiased as is_antialiased
from .splat_ply import mode_comments as mode_comments
from .splat_ply import splat_origin as splat_origin


def demo_path() -> Path:
    """The capture that ships with the package: 12 photos of a door, see demo/LICENSE."""
    return Path(__file__).parent / "demo"

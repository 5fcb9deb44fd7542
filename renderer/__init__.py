"""What a splat is, how it becomes an image, and how it is fitted to photos."""

from .gsplat_api.rasterization import rasterization as rasterization
from .raster.render import render as render
from .raster.render import render_bytes as render_bytes
from .types import Camera as Camera
from .types import Frame as Frame
from .types import RenderSettings as RenderSettings
from .types import Splats as Splats

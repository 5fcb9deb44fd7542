"""What a splat is, how it becomes an image, and how it is fitted to photos."""

from .cameras import Camera as Camera
from .frame import Frame as Frame
from .gsplat_api.rasterization import rasterization as rasterization
from .raster.render import render as render
from .raster.render import render_bytes as render_bytes
from .settings import RenderSettings as RenderSettings
from .splats import Splats as Splats

"""The browser application: shows splats, also while they are trained."""

from .address import PortInUse as PortInUse
from .frustums import NamedCamera as NamedCamera
from .live import LiveView as LiveView
from .scene import SceneSource as SceneSource
from .scene import TrainingStatus as TrainingStatus
from .server import Viewer as Viewer
from .session import Renderers as Renderers
from .session import RenderFunction as RenderFunction

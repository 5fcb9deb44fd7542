"""The browser application: shows splats, also while they are trained."""

from .actions import Action as Action
from .actions import Download as Download
from .address import PortInUse as PortInUse
from .draw import Renderers as Renderers
from .draw import RenderFunction as RenderFunction
from .draw import Scene as Scene
from .frustums import NamedCamera as NamedCamera
from .live import LiveView as LiveView
from .scene import SceneSource as SceneSource
from .scene import TrainingStatus as TrainingStatus
from .server import Viewer as Viewer
from .server import ViewerOptions as ViewerOptions

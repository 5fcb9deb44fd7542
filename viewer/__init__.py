"""The browser application: shows splats, also while they are trained."""

from .camera import NamedCamera as NamedCamera
from .live import LiveView as LiveView
from .panel.actions import Action as Action
from .panel.actions import Download as Download
from .picture.draw import Renderers as Renderers
from .picture.draw import RenderFunction as RenderFunction
from .picture.draw import Scene as Scene
from .scene import SceneSource as SceneSource
from .scene import TrainingStatus as TrainingStatus
from .web.address import PortInUse as PortInUse
from .web.server import Viewer as Viewer
from .web.server import ViewerOptions as ViewerOptions

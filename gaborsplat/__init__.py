"""Train, view and export 3D Gaussian and Gabor splats. The public Python surface.

import gaborsplat as gs

capture = gs.load_capture("path/to/colmap")
result = gs.train(capture, gs.TrainConfig(steps=2000, gabor=2))
gs.save_splats(result.splats, "scene.ply", origin=capture.origin.tolist())
"""

import os as _os
from importlib.metadata import version as _version

from . import _starting as _starting

# Before torch starts its threads: left to spin while they wait, they take the cores from ours and
# from other programs. A step alone on two cores hardly differs; beside a busy program it is faster.
_os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from .renderer.cameras import Camera as Camera
from .renderer.devices import pick_device as pick_device
from .renderer.editing.choosing import cropped as cropped
from .renderer.editing.choosing import outliers as outliers
from .renderer.editing.choosing import pruned as pruned
from .renderer.editing.decimating import contributions as contributions
from .renderer.editing.decimating import decimated as decimated
from .renderer.editing.merging import merged as merged
from .renderer.editing.merging import with_sh_degree as with_sh_degree
from .renderer.editing.moving import transformed as transformed
from .renderer.frame import Frame as Frame
from .renderer.gsplat_api.rasterization import rasterization as rasterization
from .renderer.raster.render import render as render
from .renderer.raster.render import render_bytes as render_bytes
from .renderer.settings import RenderSettings as RenderSettings
from .renderer.splats import GaborWaves as GaborWaves
from .renderer.splats import Splats as Splats
from .renderer.training import Correction as Correction
from .renderer.training import Evaluation as Evaluation
from .renderer.training import LearningRates as LearningRates
from .renderer.training import Measured as Measured
from .renderer.training import Objective as Objective
from .renderer.training import PhotometricObjective as PhotometricObjective
from .renderer.training import Picture as Picture
from .renderer.training import Score as Score
from .renderer.training import StepReport as StepReport
from .renderer.training import TorchObjective as TorchObjective
from .renderer.training import TrainConfig as TrainConfig
from .renderer.training import Trainer as Trainer
from .renderer.training import TrainingView as TrainingView
from .renderer.training import TrainResult as TrainResult
from .renderer.training import evaluate as evaluate
from .renderer.training import photometric_loss as photometric_loss
from .renderer.training import psnr as psnr
from .renderer.training import refitted as refitted
from .renderer.training import ssim as ssim
from .renderer.training import train as train
from .scenes import Capture as Capture
from .scenes import CaptureView as CaptureView
from .scenes import InputError as InputError
from .scenes import SplatFile as SplatFile
from .scenes import SplatMetadata as SplatMetadata
from .scenes import bake as bake
from .scenes import load_capture as load_capture
from .scenes import load_splat_file as load_splat_file
from .scenes import load_splats as load_splats
from .scenes import save_splats as save_splats
from .viewer import NamedCamera as NamedCamera
from .viewer import SceneSource as SceneSource
from .viewer import Viewer as Viewer
from .viewer import ViewerOptions as ViewerOptions

__version__ = _version("gaborsplat")

"""Fitting splats to photographs: trainer, losses, density control, checkpoints, evaluation."""

from ..losses import photometric_loss, psnr, ssim
from .checkpoint import checkpoint_splats, checkpoints, load_checkpoint, save_checkpoint
from .config import LearningRates, TrainConfig
from .data import FitInput, TrainingView
from .evaluate import Evaluation, Score, evaluate
from .gabor.distill import to_gaussians
from .interrupt import deferred_interrupt
from .run import TrainResult, finish, train
from .trainer import StepReport, Trainer

__all__ = [
    "Evaluation",
    "FitInput",
    "LearningRates",
    "Score",
    "StepReport",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "TrainingView",
    "checkpoint_splats",
    "checkpoints",
    "deferred_interrupt",
    "evaluate",
    "finish",
    "load_checkpoint",
    "photometric_loss",
    "psnr",
    "save_checkpoint",
    "ssim",
    "to_gaussians",
    "train",
]

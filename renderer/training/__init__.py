"""Fitting splats to photographs: trainer, losses, density control, checkpoints, evaluation."""

from ..losses import photometric_loss, psnr, ssim
from .checkpoint import checkpoint_splats, checkpoints, load_checkpoint, save_checkpoint
from .color.degree import with_degree
from .config import (
    BY_PRESET,
    DRAFT_SIZE,
    EARLIER,
    EARLIER_RATES,
    PRESETS,
    Default,
    LearningRates,
    Preset,
    PresetName,
    TrainConfig,
    longest_side,
    preset_taken,
)
from .corrections.choosing import ExposureChoice, choose_exposure
from .corrections.correction import Correction
from .cost.memory import free_memory, memory_of_run, most_splats, photos_kept, within_memory
from .cost.plan import planned
from .cost.trial import StepTime, time_steps
from .data import FitInput, LeftOut, TooFewPhotos, TrainingView
from .distill.gaussians import to_gaussians
from .distill.refit import refitted
from .evaluate import Evaluation, Score, evaluate
from .interrupt import EndAtOnce, deferred_interrupt
from .run import TrainResult, finish, train
from .saving import CheckpointWriter
from .step.objective import Measured, Objective, PhotometricObjective, Picture, TorchObjective
from .trainer import StepReport, Trainer

__all__ = [
    "BY_PRESET",
    "DRAFT_SIZE",
    "EARLIER",
    "EARLIER_RATES",
    "PRESETS",
    "CheckpointWriter",
    "Correction",
    "Default",
    "EndAtOnce",
    "Evaluation",
    "ExposureChoice",
    "FitInput",
    "LearningRates",
    "LeftOut",
    "Measured",
    "Objective",
    "PhotometricObjective",
    "Picture",
    "Preset",
    "PresetName",
    "Score",
    "StepReport",
    "StepTime",
    "TooFewPhotos",
    "TorchObjective",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "TrainingView",
    "checkpoint_splats",
    "checkpoints",
    "choose_exposure",
    "deferred_interrupt",
    "evaluate",
    "finish",
    "free_memory",
    "load_checkpoint",
    "longest_side",
    "memory_of_run",
    "most_splats",
    "photometric_loss",
    "photos_kept",
    "planned",
    "preset_taken",
    "psnr",
    "refitted",
    "save_checkpoint",
    "ssim",
    "time_steps",
    "to_gaussians",
    "train",
    "with_degree",
    "within_memory",
]

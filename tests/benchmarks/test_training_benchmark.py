"""The benchmark of training's options: what it trains, skips, compares and refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from colmap_files import ring, write_capture
from torch import Tensor

from benchmarks.support.tables import BEGIN, END
from benchmarks.training import __main__ as program
from benchmarks.training import training_tables as tables
from benchmarks.training import variants
from benchmarks.training.cases import Case, color_corrected
from benchmarks.training.light import in_linear_light
from gaborsplat.renderer.training import LearningRates, TrainConfig, psnr
from gaborsplat.renderer.training.schedule import Schedule

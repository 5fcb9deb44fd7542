"""`python -m gaborsplat`."""

import sys

from .cli import run

sys.exit(run())

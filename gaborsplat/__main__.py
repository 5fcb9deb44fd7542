"""`python -m gaborsplat`."""

import sys

from .cli import main

sys.exit(main())

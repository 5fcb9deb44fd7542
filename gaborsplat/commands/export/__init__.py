"""`gaborsplat export`: what is written, what is changed before, and what is lost."""

from .command import ExportCommand as ExportCommand

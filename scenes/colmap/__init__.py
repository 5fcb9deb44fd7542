"""COLMAP models, binary and text."""

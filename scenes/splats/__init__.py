"""Splat files."""

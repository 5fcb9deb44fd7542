"""Splats fitted to pictures of other splats."""

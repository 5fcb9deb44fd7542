"""The passes on NVIDIA GPUs."""

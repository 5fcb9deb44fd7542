"""The passes of the rasterizer and of a fit, on the CPU and on NVIDIA GPUs."""

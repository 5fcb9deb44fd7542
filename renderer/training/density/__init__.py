"""Where splats start, and how they are added, moved and removed."""

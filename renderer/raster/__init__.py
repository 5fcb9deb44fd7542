"""From splats to a picture, and back to gradients."""

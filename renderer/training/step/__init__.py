"""One step of a fit: towards a photo, along a gradient, by Adam."""

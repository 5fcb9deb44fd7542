"""Gabor waves in training: how they start and are bounded, and what stands in for them."""

"""Gabor waves: what a fit and an export do with them."""

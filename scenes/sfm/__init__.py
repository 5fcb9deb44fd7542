"""Structure from motion: COLMAP, run on photos that have no model yet."""

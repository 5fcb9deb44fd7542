"""Types of `renderer._native.constants`; there is no such file at run time."""

NEAR_PLANE: float
FAR_PLANE: float
EPS2D: float
ALPHA_MIN: float
ALPHA_MAX: float
TRANSMITTANCE_MIN: float
TILE_SIZE: int
SH_C0: float

"""What readers and the writer of SOG have to agree on."""

from __future__ import annotations

META = "meta.json"
STREAMED_META = "lod-meta.json"
VERSION = 2
ANTIALIASED = "antialiased"
"""The "model" of splats that are."""
LABELS_PER_ROW = 64
"""Entries of the palette of harmonics in a row of its texture."""
PALETTE = 1 << 16
"""Entries that the two bytes of a label tell apart."""
CODEBOOK = 256
"""Entries that a byte tells apart."""
SH_COEFFS = (3, 8, 15)
"""Harmonics beyond the constant one, by number of bands."""
LEFT_OUT = 252
"""What a rotation's alpha is when w is the component that is left out; then x, y and z."""

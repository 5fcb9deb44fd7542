"""SOG, PlayCanvas' splats in WebP textures, version 2: read and written, and its streamed form read.

Format: https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/sog/. A file is a
ZIP archive of meta.json and its textures; unbundled, they lie in a folder. Every texture holds one
pixel per splat, row after row; most values index a codebook in meta.json.
"""

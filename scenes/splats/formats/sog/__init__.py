"""SOG version 2, PlayCanvas' splats in WebP textures: read and written; streamed SOG is read.

Format: https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/sog/. A file is a
ZIP archive of meta.json and its textures; unbundled, they lie in a folder. Every texture holds one
pixel per splat, row after row; most values index a codebook in meta.json.
"""

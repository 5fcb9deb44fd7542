"""transforms.json: captures by nerfstudio, instant-ngp, Polycam, Record3D and Blender."""

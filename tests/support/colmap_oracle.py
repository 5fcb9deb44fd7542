"""COLMAP's own reader as the judge of ours."""

from __future__ import annotations

import numpy as np
import pycolmap

from gaborsplat.scenes.colmap.model import ColmapModel


def assert_same_as_pycolmap(model: ColmapModel) -> None:
    """Compares every field that is kept with COLMAP's own reader."""
    oracle = pycolmap.Reconstruction(str(model.folder))
    assert {image.image_id for image in model.images} == set(oracle.images)
    for image in model.images:
        expected = oracle.images[image.image_id]
        assert (image.name, image.camera_id) == (expected.name, expected.camera_id)
        # COLMAP takes quaternions as they are; ours are normalised: six digits differ by 1e-6.
        pose = expected.cam_from_world().matrix()
        np.testing.assert_allclose(image.rotation, pose[:, :3], atol=2e-6)
        np.testing.assert_allclose(image.tvec, pose[:, 3], rtol=1e-12)
        np.testing.assert_allclose(image.centre, expected.projection_center(), rtol=2e-6, atol=1e-5)
    assert set(model.cameras) == set(oracle.cameras)
    for camera_id, camera in model.cameras.items():
        expected = oracle.cameras[camera_id]
        assert (camera.model, camera.width, camera.height) == (
            expected.model.name,
            expected.width,
            expected.height,
        )
        np.testing.assert_array_equal(camera.params, expected.params)
    if not len(model.points):
        assert not oracle.points3D
        return
    points = [
        (*p.xyz, *map(float, p.color), p.error, p.track.length()) for p in oracle.points3D.values()
    ]
    read = np.column_stack(
        [model.points.xyz, model.points.rgb, model.points.errors, model.points.track_lengths]
    )
    np.testing.assert_array_equal(np.sort(read, axis=0), np.sort(np.array(points), axis=0))

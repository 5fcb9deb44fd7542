"""glTF with KHR_gaussian_splatting: what nodes do to splats, how numbers may be stored, what our
own files keep, and what damage gives."""

from __future__ import annotations

import base64
import json
import math
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gltf_files import SPLATS, Scene, some_arrays

from gaborsplat.renderer.editing.moving import transformed
from gaborsplat.renderer.rotations import to_matrices
from gaborsplat.renderer.splats import Splats
from gaborsplat.scenes import InputError, load_splat_file, load_splats, save_splats
from gaborsplat.scenes.splats.metadata import SplatMetadata
from tests.support.splat_files.clouds import random_splats

SPZ_2 = f"{SPLATS}_compression_spz_2"
TO_MEMORY = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))  # from left, up, front
TURN = (0.1, -0.3, 0.2, math.sqrt(1 - 0.01 - 0.09 - 0.04))


def load(scene: Scene, folder: Path) -> Splats:
    (folder / "a.glb").write_bytes(scene.glb())
    return load_splats(folder / "a.glb")


def document_of(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])


def covariances(splats: Splats) -> torch.Tensor:
    """[N, 3, 3], the same for axes that point the other way."""
    axes = to_matrices(splats.quats) * splats.scales[:, None]
    return axes @ axes.mT


def assert_same(splats: Splats, other: Splats, tolerance: float = 1e-6) -> None:
    sign = (splats.quats * other.quats).sum(1, keepdim=True).sign()
    for name, values in splats.tensors().items():
        others = other.tensors()[name] * (sign if name == "quats" else 1)
        torch.testing.assert_close(values, others, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("waves", [0, 1, 2, 4])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("antialiased", [None, False, True])
def test_a_glb_keeps_everything(tmp_path: Path, waves: int, degree: int, antialiased: bool | None):
    splats = random_splats(20, degree, waves)
    stated = SplatMetadata(
        antialiased, up="z", origin=(4e6, -0.1, 7.25), background=(1, 0.5, 0), name="a chair"
    )
    save_splats(splats, tmp_path / "a.glb", metadata=stated, comments=["steps 7"])
    file = load_splat_file(tmp_path / "a.glb")
    assert file.metadata == stated
    assert_same(file.splats, splats)
    document = document_of(tmp_path / "a.glb")
    assert document["nodes"][0]["translation"] == [-4e6, 0.1, 7.25]
    assert "extensionsRequired" not in document
    assert ("EXT_gaborsplat_waves" in document["extensionsUsed"]) == (waves > 0)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_node_puts_splats_elsewhere_with_all_that_they_have(tmp_path: Path, degree: int):
    scene, moved = Scene(), Scene()
    scene.splats(some_arrays(degree=degree))
    moved.splats(some_arrays(degree=degree), translation=[1, 2, 3], rotation=TURN, scale=[2, 2, 2])
    x, y, z, w = TURN
    quarter = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2 * quarter, torch.tensor([1.0, 2.0, 3.0])
    expected = transformed(load(scene, tmp_path), TO_MEMORY @ matrix @ TO_MEMORY)
    assert_same(load(moved, tmp_path), expected, 1e-5)
    by_columns = Scene()
    by_columns.splats(some_arrays(degree=degree), matrix=matrix.T.flatten().tolist())
    assert_same(load(by_columns, tmp_path), expected, 1e-5)


def test_children_are_where_their_parents_put_them_and_all_become_one_cloud(tmp_path: Path):
    scene = Scene()
    scene.splats(some_arrays(4, 0), translation=[1e7, 0, 0])
    scene.splats(some_arrays(4, 2), translation=[1e7, 1, 0])
    scene.document["nodes"] += [{"children": [0, 1], "translation": [0, 0, 0.5]}, {"mesh": 0}]
    scene.document |= {"scenes": [{"nodes": [2]}], "scene": 0}  # the last node is in no scene
    (tmp_path / "a.glb").write_bytes(scene.glb())
    file = load_splat_file(tmp_path / "a.glb")
    places = file.splats.means.double() + torch.tensor(file.origin, dtype=torch.float64)
    first = torch.from_numpy(some_arrays(4, 0)["POSITION"]).double() + torch.tensor([1e7, 0, 0.5])
    expected = torch.cat([first, first + torch.tensor([0.0, 1.0, 0.0])]) * torch.tensor([-1, -1, 1])
    torch.testing.assert_close(places, expected, atol=1e-6, rtol=0)
    assert file.splats.sh.shape == (8, 9, 3)
    assert not file.splats.sh[:4, 1:].any()
    assert file.metadata.up == "-y"


def test_quantised_and_interleaved_numbers_are_read(tmp_path: Path):
    scene, arrays = Scene(), some_arrays()
    scene.splats(arrays)
    reference = load(scene, tmp_path)
    small = arrays | {
        "ROTATION": np.rint(arrays["ROTATION"] * 32767).astype("i2"),
        "OPACITY": np.rint(arrays["OPACITY"] * 65535).astype("u2"),
        "SCALE": np.rint(arrays["SCALE"] * 32767).astype("i2"),
    }
    packed = Scene()
    packed.splats(small)
    positions = packed.accessor(arrays["POSITION"], stride=20)
    packed.document["meshes"][0]["primitives"][0]["attributes"]["POSITION"] = positions
    assert_same(load(packed, tmp_path), reference, 4e-4)


def test_scales_below_zero_are_logarithms_as_in_drafts(tmp_path: Path):
    scene, old = Scene(), Scene()
    scene.splats(some_arrays())
    old.splats(some_arrays() | {"SCALE": np.log(some_arrays()["SCALE"])})
    assert_same(load(old, tmp_path), load(scene, tmp_path))


def test_linear_colours_are_shown_as_they_stand_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    scene, linear = Scene(), Scene()
    scene.splats(some_arrays())
    expected = load(scene, tmp_path)
    assert not caplog.messages
    for _ in range(2):
        linear.splats(some_arrays(), color_space="lin_rec709_display")
    found = load(linear, tmp_path)
    assert torch.equal(found.sh, torch.cat([expected.sh, expected.sh]))
    (told,) = caplog.messages
    assert "linear light (lin_rec709_display)" in told
    assert "darker than meant" in told


@pytest.mark.parametrize("where", ["beside", "inside"])
def test_a_gltf_has_its_buffer_beside_it_or_in_its_text(tmp_path: Path, where: str):
    scene = Scene()
    scene.splats(some_arrays())
    reference = load(scene, tmp_path)
    (tmp_path / "the data.bin").write_bytes(scene.data)
    inside = "data:application/octet-stream;base64," + base64.b64encode(scene.data).decode()
    scene.write(tmp_path / "b.gltf", inside if where == "inside" else "the%20data.bin")
    assert_same(load_splats(tmp_path / "b.gltf"), reference)


@pytest.mark.parametrize(
    "uri", ["../a.bin", "/etc/passwd", "https://example.org/a.bin", "none.bin", "data:,;base64,@"]
)
def test_a_buffer_elsewhere_is_refused(tmp_path: Path, uri: str):
    scene = Scene()
    scene.splats(some_arrays())
    scene.write(tmp_path / "b.gltf", uri)
    with pytest.raises(InputError, match=r"b\.gltf: buffers\[0\]\.uri"):
        load_splats(tmp_path / "b.gltf")


@pytest.mark.parametrize("name", [SPZ_2, f"{SPLATS}_compression_spz"])
@pytest.mark.parametrize("turned", [False, True])
def test_splats_packed_as_spz_are_read_in_the_axes_that_the_bounds_tell(
    tmp_path: Path, name: str, turned: bool
):
    splats = random_splats(9, 2)
    save_splats(splats, tmp_path / "a.spz", antialiased=True)
    read = load_splats(tmp_path / "a.spz")
    numbers = read.means * torch.tensor([1, -1, -1])
    placed = numbers * torch.tensor([-1, 1, -1]) if turned else numbers
    scene = Scene()
    position = scene.accessor(placed.numpy())
    scene.document["accessors"][position] |= {
        "min": placed.min(0).values.tolist(),
        "max": placed.max(0).values.tolist(),
    }
    view = scene.view((tmp_path / "a.spz").read_bytes())
    own = {"extensions": {name: {"bufferView": view}}}
    scene.primitive({"attributes": {"POSITION": position}, "extensions": {SPLATS: own}})
    (tmp_path / "a.glb").write_bytes(scene.glb())
    file = load_splat_file(tmp_path / "a.glb")
    torch.testing.assert_close(file.splats.means, placed * torch.tensor([-1, -1, 1]))
    assert file.antialiased
    back = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0] if turned else [-1.0, 1.0, -1.0, 1.0]))
    expected = transformed(read, back)
    torch.testing.assert_close(file.splats.sh, expected.sh, atol=1e-5, rtol=0)
    torch.testing.assert_close(covariances(file.splats), covariances(expected))


def test_files_of_other_programs_are_read(shared_data: Path):
    folder = shared_data / "splats" / "gltf"
    matrix = load_splats(folder / "bevy_khr_conformance_matrix.glb")
    assert (len(matrix), matrix.sh_degree) == (15, 3)
    torch.testing.assert_close(matrix.scales[0], torch.tensor([0.0, 0.5, -0.5]).exp())
    packed = load_splats(folder / "cesium-native_basic.glb")
    assert packed.means.tolist() == [[-1.0, -3.0, -2.0]]


PRIMITIVE = "meshes.0.primitives.0"
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "mesh": (
        r"has no Gaussian splats \(KHR_gaussian_splatting\)",
        {f"{PRIMITIVE}.extensions": {}},
    ),
    "circle": (
        r"nodes\[0\] stands in two places",
        {"nodes.0.children": [0], "scenes": [{"nodes": [0]}]},
    ),
    "stretched": (r"nodes\[0\] cannot be applied to splats", {"nodes.0.scale": [1, 2, 1]}),
    "draco": (
        "compressed by KHR_draco_mesh_compression",
        {f"{PRIMITIVE}.extensions.KHR_draco_mesh_compression": {}},
    ),
    "meshopt": (
        r"bufferViews\[1\] is compressed by EXT_meshopt_compression",
        {"bufferViews.1.extensions": {"EXT_meshopt_compression": {}}},
    ),
    "sparse": (r"accessors\[1\] is sparse", {"accessors.1.sparse": {}}),
    "count": (r"accessors\[2\] has 900 values", {"accessors.2.count": 900}),
    "huge": ("unpacks to", {"accessors.0.count": 1 << 39}),
    "fewer": ("has 3 values for 4 splats", {"accessors.1.count": 3}),
    "stride": ("must be 12 or more, not 4", {"bufferViews.0.byteStride": 4}),
    "cut": (r"buffers\[0\] has \d+ bytes, not 99999", {"buffers.0.byteLength": 99999}),
    "kind": (r"accessors\[0\]\.type must be VEC3, not VEC4", {"accessors.0.type": "VEC4"}),
    "none": (
        r"accessors\[99\] is named, but there are",
        {f"{PRIMITIVE}.attributes.POSITION": 99},
    ),
    "version": (r"glTF of version 1\.0; known is 2", {"asset.version": "1.0"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str):
    message, changes = REFUSED[name]
    scene = Scene()
    scene.splats(some_arrays())
    for keys, value in changes.items():
        *above, last = keys.split(".")
        place: Any = scene.document
        for key in above:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value
    with pytest.raises(InputError, match=message) as caught:
        load(scene, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'a.glb'}: ")
    assert "\n" not in str(caught.value)


def test_a_few_bytes_cannot_ask_for_all_memory(tmp_path: Path):
    scene = Scene()
    scene.splats(some_arrays(2000))
    scene.document["nodes"] *= 5000
    with pytest.raises(InputError, match=r"unpacks to .* or made to fill the memory"):
        load(scene, tmp_path)


VALIDATE = """
const validator = require("gltf-validator");
validator.validateBytes(new Uint8Array(require("fs").readFileSync(process.argv[1])))
    .then(report => console.log(JSON.stringify(report.issues.messages)));
"""


@pytest.mark.slow
@pytest.mark.parametrize("waves", [0, 2])
def test_the_validator_of_khronos_finds_no_fault(tmp_path: Path, waves: int):
    npm, node = shutil.which("npm"), shutil.which("node")
    if not (npm and node):
        pytest.skip("needs node and npm")
    wanted = [npm, "install", "--no-audit", "--no-fund", "gltf-validator@2.0.0-dev.3.10"]
    if subprocess.run(wanted, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("gltf-validator cannot be had from npm here")
    save_splats(random_splats(9, 3, waves), tmp_path / "a.glb", origin=(1e6, 0, 0))
    said = subprocess.run(
        [node, "-e", VALIDATE, "a.glb"], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    # It does not know the extension, nor the names of attributes that this demands.
    # Hints have severity 2: that our own extension's accessors may be unused is one.
    faults = [
        issue
        for issue in json.loads(said.stdout)
        if issue["severity"] < 2
        and issue["code"] != "UNSUPPORTED_EXTENSION"
        and f"attributes/{SPLATS}:" not in issue["pointer"]
    ]
    assert not faults

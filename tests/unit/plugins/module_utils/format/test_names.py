# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest
from hypothesis import given, settings

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import FormatError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    File,
    Link,
    Manifest,
    Path,
    Target,
    parse_manifest,
    render_manifest,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.names import check_names
from ansible_collections.holdfast.postgres.tests.unit import strategies

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures" / "format"
UNSAFE = [
    "",
    "/",
    "/etc/passwd",
    "pg_data/",
    "pg_data//x",
    "pg_data/.",
    "pg_data/..",
    "pg_data/../x",
    "pg_data/x/..",
    "pg_data/x/../../y",
    "pg_data/x/",
    "pg_data/a\x00b",
    "../pg_data/x",
    "./pg_data/x",
    "pg_data2/x",
    "pg_tblspc/",
    "pg_tblspc/x/y",
    "pg_tblspc/16384/../../x",
    "pg_tblspc/../x",
    "pg_tblspc/\u0661/x",
    "other/x",
]


@pytest.fixture
def manifest() -> Manifest:
    return parse_manifest((FIXTURES / "reference.manifest.bin").read_bytes())


@pytest.mark.parametrize(
    "name",
    [
        "reference.manifest.bin",
        "gz.full.manifest.bin",
        "gz.incr.manifest.bin",
        "zst.incr.manifest.bin",
        "running.manifest.copy.bin",
    ],
)
def test_real_manifests_are_safe(name):
    check_names(parse_manifest((FIXTURES / name).read_bytes()))


@settings(max_examples=50)
@given(strategies.manifests())
def test_odd_names_are_safe(manifest):
    check_names(manifest)
    check_names(parse_manifest(render_manifest(manifest)))


@pytest.mark.parametrize("name", [*UNSAFE, "pg_data", "pg_tblspc", "pg_tblspc/16384"])
def test_an_unsafe_file(manifest, name):
    manifest.files.append(File(name, 0, 1))
    with pytest.raises(FormatError) as caught:
        check_names(manifest)
    assert f"file name {ascii(name)}" in caught.value.message


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_path(manifest, name):
    manifest.paths.append(Path(name, 0o700, None, None))
    with pytest.raises(FormatError) as caught:
        check_names(manifest)
    assert f"path name {ascii(name)}" in caught.value.message


@pytest.mark.parametrize("name", [*UNSAFE, "pg_data", "pg_tblspc", "pg_tblspc/16384", "pg_tblspc/16384/x"])
def test_an_unsafe_link(manifest, name):
    manifest.links.append(Link(name, "/x", None, None))
    with pytest.raises(FormatError) as caught:
        check_names(manifest)
    assert f"link name {ascii(name)}" in caught.value.message


@pytest.mark.parametrize("name", [*UNSAFE, "pg_tblspc", "pg_tblspc/16384/x"])
def test_an_unsafe_target(manifest, name):
    manifest.targets[name] = Target(name, "link", "/x")
    with pytest.raises(FormatError) as caught:
        check_names(manifest)
    assert f"target name {ascii(name)}" in caught.value.message


@pytest.mark.parametrize("name", ["..x", "x..", "...", ".hidden", "a/.b/c..d", "-", "~", "\\", " "])
def test_names_with_harmless_dots(manifest, name):
    manifest.add_file(File(f"pg_data/{name}", 0, 1))
    check_names(manifest)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.repeated.append("pg_data/conf"),
        lambda manifest: manifest.add_file(File("pg_data/base", 0, 1)),
        lambda manifest: manifest.links.pop(),
        lambda manifest: manifest.targets.pop("pg_data/l.conf"),
        lambda manifest: manifest.targets.pop("pg_data"),
        lambda manifest: manifest.targets.update({"pg_data": Target("pg_data", "link", "/x")}),
        lambda manifest: manifest.targets.update({"pg_data/l.conf": Target("pg_data/l.conf", "path", "/x")}),
        lambda manifest: manifest.targets.update({"pg_data/l.conf": Target("pg_data/l.conf", "link", "/x", "..")}),
        lambda manifest: manifest.targets.update({"pg_data/l.conf": Target("pg_data/l.conf", "link", "/x", "a/b")}),
        lambda manifest: manifest.targets.update(
            {"pg_data/l.conf": Target("pg_data/l.conf", "link", "/", "", "7", "t")}
        ),
        lambda manifest: manifest.targets.update(
            {"pg_tblspc/16384": Target("pg_tblspc/16384", "link", "/x", None, "16385", "ts")}
        ),
        lambda manifest: manifest.targets.update({"pg_tblspc/16384": Target("pg_tblspc/16384", "link", "/x")}),
        lambda manifest: manifest.reference.insert(0, "../x"),
        lambda manifest: setattr(manifest.files[0], "reference", "20261122-113217F"),
        lambda manifest: setattr(manifest.files[0], "reference", "../../x"),
    ],
)
def test_what_contradicts_itself(manifest, change):
    check_names(manifest)
    change(manifest)
    with pytest.raises(FormatError, match="manifest"):
        check_names(manifest)


def test_a_second_line_in_the_document_is_refused():
    data = (FIXTURES / "gz.full.manifest.bin").read_bytes()
    manifest = parse_manifest(data)
    manifest.files.append(File("pg_data/PG_VERSION", 0, 1))
    with pytest.raises(FormatError, match="two records of the name 'pg_data/PG_VERSION'"):
        check_names(parse_manifest(render_manifest(manifest)))

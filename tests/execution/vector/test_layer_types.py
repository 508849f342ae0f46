"""Layers of types that pyogrio knows nothing of: what is in them is read all the same."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import vectorjobs

#: Types of layers, one geometry in each, and whether it can be written.
TYPES = {
    "GEOMETRYZ": ("POINT Z (1 2 3)", True),
    "GEOMETRYM": ("POINT M (1 2 3)", True),
    "GEOMETRYZM": ("POINT ZM (1 2 3 4)", True),
    "SURFACE": ("POLYGON ((0 0,1 0,1 1,0 0))", True),
    "TINZ": ("TIN Z (((0 0 1,1 0 1,1 1 1,0 0 1)))", False),
    "CURVEPOLYGON": ("CURVEPOLYGON (CIRCULARSTRING (0 0,1 1,2 0,1 -1,0 0))", False),
    "MULTISURFACEZM": ("MULTISURFACE ZM (((0 0 1 1,1 0 1 1,1 1 1 1,0 0 1 1)))", False),
}


def layer(tmp_path, kind, *texts):
    """A GeoPackage with a layer of that type, and a feature of each of the texts, and one without."""
    table = tmp_path / "s.csv"
    table.write_text("id,WKT\n" + "".join(f'{n},"{one}"\n' for n, one in enumerate((*texts, ""))))
    how = ["-nlt", kind, "-a_srs", "EPSG:4326", "-nln", "s"]
    made = tmp_path / "s.gpkg"
    subprocess.run(["ogr2ogr", "-f", "GPKG", str(made), str(table), *how], check=True)
    return made


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed")
def test_layers_of_any_type(kind, tmp_path):
    """A feature that cannot be written is set aside alone."""
    text, fine = TYPES[kind]
    done = vectorjobs.run("vector.convert", layer(tmp_path, kind, text), tmp_path / "out")
    assert done.receipt.facts["features_out"] == 1 + fine
    assert [letter.position for letter in done.letters] == [0] * (not fine)

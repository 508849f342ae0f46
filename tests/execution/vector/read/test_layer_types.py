"""Layers of types that pyogrio knows nothing of: what is in them is read all the same."""

from __future__ import annotations

import shutil
import struct
import subprocess

import numpy as np
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.execution.vector.geometry.curves import straight

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
    told = any("curves and surfaces are set aside" in line for line in done.plan.warnings)
    assert told == (kind == "TINZ"), "OGR calls layers of curves as if they had none"


CURVES = [
    "CIRCULARSTRING (0 0,1 1,2 0)",
    "CIRCULARSTRING (5 5,6 6,7 7)",
    "CIRCULARSTRING (0 0,1 1,2 0,3 -1,4 0)",
    "COMPOUNDCURVE ((0 0,1 0),CIRCULARSTRING (1 0,2 1,3 0),(3 0,4 0))",
    "CURVEPOLYGON (CIRCULARSTRING (0 0,2 0,0 0))",
    "CURVEPOLYGON (COMPOUNDCURVE (CIRCULARSTRING (0 0,4 4,8 0),(8 0,0 0)),(3 1,5 1,4 2,3 1))",
    "MULTICURVE ((0 0,1 1),CIRCULARSTRING (1 0,2 1,3 0))",
    "MULTISURFACE (((9 0,9 1,10 0,9 0)),CURVEPOLYGON (CIRCULARSTRING (0 0,2 0,0 0)))",
    "GEOMETRYCOLLECTION (POINT (1 2),CIRCULARSTRING (1 0,2 1,3 0))",
    "CIRCULARSTRING Z (0 0 1,1 1 2,2 0 4)",
    "TIN Z (((0 0 1,1 0 1,1 1 1,0 0 1)))",
]


@pytest.mark.parametrize("wanted", ["linear", "quarantine"])
@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed")
def test_curves_become_lines_if_asked_for(wanted, tmp_path):
    """As near to them as OGR's, and of the same types; else each is set aside."""
    source = layer(tmp_path, "GEOMETRY", *CURVES)
    params = {"curves": wanted}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, form="GPKG")
    if wanted == "quarantine":
        assert len(done.letters) == len(CURVES)
        assert all("op.curves = 'linear'" in letter.reason for letter in done.letters)
        return
    assert not done.letters
    assert done.receipt.facts["curves_linearised"] == len(CURVES)
    theirs = tmp_path / "linear.gpkg"
    how = ["-nlt", "CONVERT_TO_LINEAR", str(theirs), str(source)]
    subprocess.run(["ogr2ogr", "-f", "GPKG", *how], check=True)
    _, _, expected, _ = pyogrio.raw.read(theirs)
    for made, raw, text in zip(vectordata.read(done.path).geometry, expected, CURVES, strict=False):
        if text.startswith("TIN"):
            assert made.equals(shapely.from_wkt("MULTIPOLYGON Z (((0 0 1,1 0 1,1 1 1,0 0 1)))"))
            continue
        if text.startswith("GEOMETRYCOLLECTION"):  # OGR leaves the curve in it
            assert [part.geom_type for part in made.geoms] == ["Point", "LineString"]
            continue
        shape = shapely.from_wkb(raw)
        assert (made.geom_type, made.has_z) == (shape.geom_type, shape.has_z)
        assert shapely.hausdorff_distance(made, shape) < 0.005
        assert made.area == pytest.approx(shape.area, rel=0.002)


def _arcs(*places, order="<"):
    """WKB of arcs through these."""
    size = len(places[0])
    head = struct.pack(f"{order}BII", order == "<", 8 + 1000 * (size == 3), len(places))
    return head + b"".join(struct.pack(f"{order}{size}d", *one) for one in places)


def test_places_of_an_arc():
    """They lie on it, no more than four degrees apart, with those that it is given by; the other way
    round they are the same."""
    far = np.array([5e6, 4e6])
    places = [far + np.array(one) for one in ([0, 0], [3, 4], [10, 0])]
    at = shapely.get_coordinates(shapely.from_wkb(straight(_arcs(*places))))
    assert all((at == one).all(axis=1).any() for one in places)
    centre = far + np.array([5, -5 / 8])
    radius = np.hypot(*(at - centre).T)
    assert np.ptp(radius) < 1e-8
    assert np.hypot(*np.diff(at, axis=0).T).max() <= radius[0] * np.radians(4)
    back = shapely.get_coordinates(shapely.from_wkb(straight(_arcs(*places[::-1]))))
    assert (back[::-1] == at).all()
    assert straight(_arcs(*places, order=">")) == straight(_arcs(*places))


def test_heights_along_an_arc():
    """They go evenly from one to the next of those that are given."""
    made = shapely.from_wkb(straight(_arcs((0, 0, 0), (1, 1, 10), (2, 0, 30))))
    z = shapely.get_coordinates(made, include_z=True)[:, 2]
    assert (z[0], z[len(z) // 2], z[-1]) == (0, 10, 30)
    assert (np.diff(z) > 0).all()


def _of(kind, *members):
    """WKB of a geometry with members."""
    return struct.pack("<BII", 1, kind, len(members)) + b"".join(members)


ODD = {
    "places": _arcs((0, 0), (1, 1), (2, 0), (3, -1)),
    "place": _of(10, _arcs((0, 0))),
    "polygon": _of(10, vectordata.ring((0, 0), (1, 0), (1, 1), (0, 0))),
    "point": _of(9, shapely.to_wkb(shapely.Point(0, 0), byte_order=1)),
    "members": _of(
        11, _arcs((0, 0), (1, 1), (2, 0)), vectordata.ring((0, 0), (1, 0), (1, 1), (0, 0))
    ),
}


def test_curves_that_are_none_are_set_aside(tmp_path):
    """No place of theirs is left out, or taken for something else."""
    fine = _arcs((0, 0), (1, 1), (2, 0))
    source = vectordata.raw(tmp_path / "s.parquet", [*ODD.values(), fine])
    params = {"curves": "linear"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, features=4)
    assert [letter.position for letter in done.letters] == list(range(len(ODD)))
    assert [letter.reason for letter in done.letters] == [
        "arcs have three places, then two more each; it has 4",
        "arcs have three places, then two more each; it has 1",
        "a part of its curves is neither a line nor an arc",
        "a part of its curves is neither a line nor an arc",
        "it has members of another type than its own",
    ]
    assert done.receipt.facts["curves_linearised"] == 1
    assert vectordata.read(done.path).geom_type.tolist() == ["LineString"]

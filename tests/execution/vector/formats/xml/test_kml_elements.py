"""KML whose coordinates OGR reads as others, or as none, without a word: each is set aside."""

from __future__ import annotations

import zipfile

import pyogrio.raw
import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.formats.lost_geometries import NO_GEOMETRY
from geobatch_tui.execution.vector.formats.xml import kml_elements
from geobatch_tui.execution.vector.formats.xml.xml_formats import NO_NUMBERS, TOO_MANY

HEAD = (
    '<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">'
    "<Document><name>all</name>"
)
TAIL = "</Document></kml>"


def point(text):
    return f"<Point><coordinates>{text}</coordinates></Point>"


def line(text):
    return f"<LineString><coordinates>{text}</coordinates></LineString>"


def ring(text):
    text = f"<coordinates>{text}</coordinates>"
    return f"<Polygon><outerBoundaryIs><LinearRing>{text}</LinearRing></outerBoundaryIs></Polygon>"


def placemark(shape, name="x"):
    return f"<Placemark><name>{name}</name>{shape}</Placemark>"


FINE = [
    point("10,50"),
    point(" +10.,.5e1,-3 "),
    point("10, 50"),
    point("10 ,50,"),
    line("10,50 20,51\n\t12,13"),
    line("10, 50, 1 20, 51, 2"),
    line("10,50,1, 20,51,2, "),
    line("<![CDATA[10,50 20,51]]>"),
    line("10,50 <!-- no place --> 20,51"),
    ring("0,0 1,0 1,1 0,0"),
    "<gx:Track><when/><when/><gx:coord>1 2 3</gx:coord><gx:coord>2 3 3</gx:coord></gx:Track>",
    "<Camera><longitude>1</longitude><latitude> 2.5 </latitude></Camera>",
    f"<LookAt><longitude>x</longitude></LookAt>{point('10,50')}",
]
NONE = ["", point(""), "<Point/>", ring(" "), "<MultiGeometry></MultiGeometry>"]
BROKEN = [
    point("junk"),
    point("10"),
    point("10;50"),
    point("10,x"),
    point(","),
    point("nan,inf"),
    point("10N,50E"),
    point("10,5,50,5"),
    line("10,50 x,y 11,51"),
    line("10,50&#160;20,51"),
    line("10, 50, 20, 51"),
    line("10,50, 20,51,\n12,13"),
    line("10,50,1,2 20,51,3,4"),
    line("10,,5 20,51,3"),
    ring("junk"),
    f"<MultiGeometry>{point('10,50')}{point('junk')}</MultiGeometry>",
    "<gx:Track><when/><when/><gx:coord/><gx:coord>1 3 3</gx:coord></gx:Track>",
    "<Camera><longitude>1E</longitude><latitude>2</latitude></Camera>",
    line("10,50 11,51<b>x</b>"),
    point("10<b/>,50"),
]
MODEL = "<Model><Location><longitude>1</longitude><latitude>2</latitude></Location></Model>"


def write(path, *shapes, more=""):
    path.write_text(HEAD + "".join(map(placemark, shapes)) + more + TAIL)
    return path


def told(done):
    return [(letter.position, letter.reason) for letter in done.letters]


def test_coordinates_that_are_no_numbers(tmp_path):
    """OGR reads 0 for them, or leaves a place out; what it reads as it is meant, is taken."""
    source = write(tmp_path / "s.kml", *FINE, *NONE, *BROKEN, MODEL)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=10)
    first = len(FINE) + len(NONE)
    wanted = [(first + n, NO_NUMBERS) for n in range(len(BROKEN))]
    assert told(done) == [*wanted, (first + len(BROKEN), NO_GEOMETRY)]
    made = vectordata.read(done.path)
    assert len(made) == first
    here = made.geometry[: len(FINE)]
    assert not (here.is_empty | here.isna()).any()


def rings(*holders):
    """A polygon; each holder is a name and the rings in it."""
    text = "".join(f"<{name}IsX>{each * count}</{name}IsX>" for name, each, count in holders)
    return f"<Polygon>{text}</Polygon>".replace("IsX", "BoundaryIs")


def test_more_than_one_geometry_in_its_place(tmp_path):
    """OGR reads one of them, and says nothing of the others: a hole is lost, or a line."""
    outer = "<LinearRing><coordinates>0,0 9,0 9,9 0,0</coordinates></LinearRing>"
    inner = "<LinearRing><coordinates>5,1 6,1 6,2 5,1</coordinates></LinearRing>"
    fine = [
        rings(("outer", outer, 1), ("inner", inner, 1), ("inner", inner, 1)),
        f"<MultiGeometry>{point('1,2') * 2}{rings(('outer', outer, 1)) * 2}</MultiGeometry>",
    ]
    more = [
        rings(("outer", outer, 1), ("inner", inner, 2)),
        rings(("outer", outer, 2)),
        point("1,2") + line("1,2 3,4"),
        f"<MultiGeometry>{rings(('outer', outer, 1), ('inner', inner, 2))}</MultiGeometry>",
    ]
    source = write(tmp_path / "s.kml", *fine, *more, point("1,2"))
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert told(done) == [(2 + n, TOO_MANY) for n in range(len(more))]


def test_pictures_that_lie_nowhere(tmp_path):
    """OGR makes polygons of their corners, or sides; of what is no number, too."""
    box = "<LatLonBox><north>{0}</north><south>1</south><east>4</east><west>3</west></LatLonBox>"
    quad = "<gx:LatLonQuad><coordinates>{0},1 2,1 2,2 1,2</coordinates></gx:LatLonQuad>"
    shapes = [one.format(value) for value in ("2", "x") for one in (box, quad)]
    more = "".join(f"<GroundOverlay><name>o</name>{one}</GroundOverlay>" for one in shapes)
    source = write(tmp_path / "s.kml", more=more)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert told(done) == [(2, NO_NUMBERS), (3, NO_NUMBERS)]
    assert not vectordata.read(done.path).geometry.isna().any()


@pytest.mark.parametrize(
    ("layer", "positions", "packed", "where"),
    [
        ("all", [0], False, ""),
        ("all", [0], True, "Name <> 'left out'"),
        ("f", [1, 5], False, "Name <> 'left out'"),
        ("f", [1, 5], True, ""),
        ("f (#2)", [], False, ""),
        ("f (#2)", [], True, "Name <> 'left out'"),
    ],
)
def test_folders_are_layers(layer, positions, packed, where, tmp_path):
    """Of one name, within one another, empty, and with what is no feature."""
    good, bad = placemark(point("1,2")), placemark(point("junk"))
    unlike = '<Placemark id="f.7">' + good.removeprefix("<Placemark>")
    left_out = placemark(point("1,3"), "left out")
    folders = (
        f"<Folder><name>f</name>{good}{bad}{unlike}<NetworkLink><name>n</name></NetworkLink>"
        f"<GroundOverlay><name>o</name></GroundOverlay>{left_out}"
        f"<Folder><name>g</name>{bad}{bad}</Folder>{bad}</Folder>"
        f"<Folder/><Folder><name>f</name>{good}</Folder>"
    )
    source = write(tmp_path / "s.kml", point("junk"), point("1,2"), more=folders)
    if packed:
        source = tmp_path / "s.zip"
        with zipfile.ZipFile(source, "w") as archive:
            archive.write(tmp_path / "s.kml", "doc.kml")
    options, params = {"layer": layer}, {"where": where}
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", options=options, params=params
    )
    if where:
        positions = [at - (at == 5) for at in positions]
    assert told(done) == [(at, NO_NUMBERS) for at in positions]


def test_features_that_share_an_id(tmp_path):
    """What is wrong with one is not said of the other."""
    shapes = [point("1,2"), point("junk"), point("3,4"), point("5,6")]
    source = write(tmp_path / "s.kml", *shapes)
    text = source.read_text()
    for own in ("all.3", "all.4", "all.4", "all.5"):
        text = text.replace("<Placemark>", f'<Placemark id="{own}">', 1)
    source.write_text(text)
    found = pyogrio.raw.read(source, columns=[], return_fids=True)
    assert found[1].tolist() == [3, 4, 4, 5]
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=2)
    assert told(done) == [(1, NO_NUMBERS)]
    assert len(vectordata.read(done.path)) == 3


def test_a_mask_of_kml_that_is_broken_is_refused(tmp_path):
    """Features would be chosen by what OGR makes of it."""
    mask = write(tmp_path / "m.kml", ring("0,0 1,0 1,1 0,0"), ring("0,0 9,0 x,9 0,9 0,0"))
    source = vectordata.write(vectordata.layer(5).to_crs(4326), tmp_path / "s.gpkg")
    params = {"mask": str(mask), "predicate": "intersects"}
    with pytest.raises(CorruptSourceError, match="cannot read all of its features"):
        vectorjobs.run("vector.filter", source, tmp_path / "out", params=params)


def test_broken_placemarks_of_unknown_layers_are_refused(tmp_path, monkeypatch):
    """Better no output than one with places that nobody meant."""
    more = "<NetworkLink><name>n</name></NetworkLink>"
    source = write(tmp_path / "s.kml", point("1,2"), "\n" + point("junk"), more=more)
    monkeypatch.setattr(kml_elements, "FEATURES", frozenset({"Placemark", "NetworkLink"}))
    with pytest.raises(CorruptSourceError, match="in lines 2"):
        vectorjobs.run("vector.convert", source, tmp_path / "out")

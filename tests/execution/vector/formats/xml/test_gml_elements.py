"""GML whose coordinates OGR reads as 0 where they are no numbers: each is set aside."""

from __future__ import annotations

import shlex

import pyogrio
import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError, UnsupportedFormatError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.vector.formats.xml.xml_formats import NO_NUMBERS, OTHER_VALUE, TOO_MANY

HEAD = (
    '<a:FeatureCollection xmlns:a="http://a" xmlns:gml="http://www.opengis.net/gml">'
    "<gml:boundedBy><gml:Box><gml:coordinates>unknown</gml:coordinates></gml:Box></gml:boundedBy>"
)
TAIL = "</a:FeatureCollection>"


def point(tag, text, attributes=""):
    return f"<gml:Point><gml:{tag}{attributes}>{text}</gml:{tag}></gml:Point>"


def line(tag, text):
    return f"<gml:LineString><gml:{tag}>{text}</gml:{tag}></gml:LineString>"


def geodesic(text):
    segment = f"<gml:GeodesicString><gml:posList>{text}</gml:posList></gml:GeodesicString>"
    return f"<gml:Curve><gml:segments>{segment}</gml:segments></gml:Curve>"


def coord(x, y):
    coord = f"<gml:coord><gml:X>{x}</gml:X><gml:Y>{y}</gml:Y></gml:coord>"
    return f"<gml:Point>{coord}</gml:Point>"


FINE = [
    point("coordinates", "10,50"),
    point("coordinates", " 10.5,+50e0 "),
    point("coordinates", "10;50", ' cs=";"'),
    point("pos", "10 50"),
    line("coordinates", "10,50 11,51\n12,52"),
    line("posList", "10 50\n 11 51"),
    geodesic("10 50 11 51"),
    coord("10", " 50 "),
    "",
]
BROKEN = [
    point("coordinates", "abc,def"),
    point("pos", "10 x"),
    point("pos", "10 NaN"),
    line("posList", "10 50 11 junk"),
    line("coordinates", "10,50 11,x"),
    geodesic("10 50 11 x"),
    coord("10", "N50"),
]


def write(path, *shapes, name="f"):
    features = "".join(
        f"<gml:featureMember><a:{name}>" + (f"<a:g>{shape}</a:g>" if shape else "") +
        f"<a:n>{n}</a:n><a:pos>no place</a:pos></a:{name}></gml:featureMember>\n"
        for n, shape in enumerate(shapes)
    )  # fmt: skip
    path.write_text(HEAD + features + TAIL)
    return path


def test_nothing_is_written_beside_gml(tmp_path):
    """OGR would keep its schema there, also behind a link that leads to nothing."""
    folder = tmp_path / "in"
    folder.mkdir()
    source = write(folder / "s,1.gml", *FINE)
    (folder / "s,1.gfs").symlink_to(tmp_path / "victim")
    options = {"src_crs": "EPSG:4326"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", options=options, features=5)
    assert done.receipt.facts["features_out"] == len(FINE)
    assert not (tmp_path / "victim").exists()
    (folder / "s,1.gfs").unlink()
    named = source.rename(folder / "s.kml")
    with pytest.raises(UnsupportedFormatError, match="is opened as GML"):
        vectorjobs.probe("vector.convert", named, options=options)
    assert [path.name for path in folder.iterdir()] == ["s.kml"]
    (tmp_path / "none.gml").write_text("<none/>")
    with pytest.raises(UnsupportedFormatError, match="not recognized") as caught:
        vectorjobs.probe("vector.convert", tmp_path / "none.gml")
    assert "/vsi" not in str(caught.value)


def test_a_schema_beside_gml_is_read(tmp_path):
    """As OGR does, if it is no older."""
    source = write(tmp_path / "s.gml", point("pos", "10 50"))
    options = {"src_crs": "EPSG:4326"}
    pyogrio.list_layers(source)
    schema = source.with_suffix(".gfs")
    schema.write_text(schema.read_text().replace(">Integer<", ">String<"))
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", options=options)
    assert vectordata.read(done.path).n.tolist() == ["0"]


def test_more_than_one_ring_in_the_place_of_one(tmp_path):
    """OGR reads the first."""
    rings = [
        f"<gml:LinearRing><gml:posList>{text}</gml:posList></gml:LinearRing>"
        for text in ("0 0 9 0 9 9 0 0", "5 1 6 1 6 2 5 1", "7 1 8 1 8 2 7 1")
    ]
    outer, *inner = (f"<gml:exterior>{rings[0]}</gml:exterior>", *rings[1:])
    apart = "".join(f"<gml:interior>{one}</gml:interior>" for one in inner)
    together = f"<gml:interior>{inner[0]}{inner[1]}</gml:interior>"
    shapes = [f"<gml:Polygon>{outer}{holes}</gml:Polygon>" for holes in (apart, together)]
    source = write(tmp_path / "s.gml", *shapes)
    options = {"src_crs": "EPSG:4326"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", options=options)
    assert [(letter.position, letter.reason) for letter in done.letters] == [(1, TOO_MANY)]
    assert len(vectordata.read(done.path).geometry[0].interiors) == 2


@pytest.mark.parametrize("where", ["", "n <> 1"])
def test_coordinates_that_are_no_numbers(where, tmp_path):
    """What is no text of coordinates may be anything."""
    source = write(tmp_path / "s.gml", *FINE, *BROKEN)
    options, params = {"src_crs": "EPSG:4326"}, {"where": where}
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", options=options, params=params, features=5
    )
    assert done.plan.notes["driver"] == "GML"
    first = len(FINE) - bool(where)
    wanted = [(first + n, NO_NUMBERS) for n in range(len(BROKEN))]
    assert [(letter.position, letter.reason) for letter in done.letters] == wanted
    made = vectordata.read(done.path)
    assert made.n.tolist() == [n for n in range(len(FINE)) if not where or n != 1]
    assert made.geometry.isna().tolist() == [False] * (first - 1) + [True]


VALUES = {
    "n": (["7", "-9223372036854775808", "", " 9223372036854775807 "],
          ["9223372036854775808", "-99999999999999999999"]),
    "day": (["2024-02-29", "", "0001-01-01"], ["2023-02-29", "2020-13-01", "2020-04-31"]),
    "moment": (["2020-02-29T23:59:59", "", "2020-01-01T00:00:00"],
               ["2020-02-30T00:00:00", "2020-13-01T00:00:00"]),
    "time": (["10:00:00", "", "23:59:59"], ["25:00:00", "24:00:00"]),
}  # fmt: skip


def write_values(path, name, texts):
    features = "".join(
        f"<gml:featureMember><a:f><a:g>{FINE[3]}</a:g><a:k>{k}</a:k>"
        f"<a:{name}>{text}</a:{name}></a:f></gml:featureMember>\n"
        for k, text in enumerate(texts)
    )
    path.write_text(HEAD + features + TAIL)
    return path


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("where", ["", "k <> 1"])
@pytest.mark.parametrize("name", VALUES)
def test_values_that_ogr_reads_as_others(name, where, tmp_path):
    """The end of 64 bits for numbers beyond, other days for those that there are none of, or null."""
    fine, wrong = VALUES[name]
    source = write_values(tmp_path / "s.gml", name, [*fine, *wrong])
    options, params = {"src_crs": "EPSG:4326"}, {"where": where}
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", options=options, params=params, features=4
    )
    first = len(fine) - bool(where)
    wanted = [(first + n, OTHER_VALUE) for n in range(len(wrong))]
    assert [(letter.position, letter.reason) for letter in done.letters] == wanted
    made = vectordata.read(done.path)
    assert made.k.tolist() == [n for n in range(len(fine)) if not where or n != 1]
    assert made[name].isna().sum() == (not where or fine[1] != "") * fine.count("")
    params["columns"] = ["k"]
    done = vectorjobs.run("vector.convert", source, tmp_path / "k", options=options, params=params)
    assert not done.letters


@pytest.mark.parametrize("encoding", ["ISO-8859-2", "windows-1250", "KOI8-R"])
def test_an_encoding_that_ogr_does_not_know(encoding, tmp_path):
    """It finds no layer then."""
    source = write(tmp_path / "s.gml", FINE[0])
    source.write_text(f'<?xml version="1.0" encoding="{encoding}"?>\n' + source.read_text())
    with pytest.raises(UnsupportedFormatError, match=f"in the encoding {encoding}") as caught:
        vectorjobs.probe("vector.convert", source, options={"src_crs": "EPSG:4326"})
    assert f"iconv -f {encoding}" in caught.value.hint


UNREAD = [
    point("pos", "10"),
    line("posList", "10 50 11"),
    geodesic("1 2 3 4").replace("GeodesicString", "Bezier"),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("where", ["", "n < 5"])
@pytest.mark.parametrize("features", [0, 2])
def test_geometries_that_ogr_cannot_read(features, where, tmp_path):
    """It ends the file there, as if no features followed; under a condition nobody would know."""
    shapes = [FINE[0], UNREAD[0], BROKEN[0], *UNREAD[1:], FINE[0], FINE[0]]
    source = write(tmp_path / "s.gml", *shapes)
    options, params = {"src_crs": "EPSG:4326"}, {"where": where}
    done = vectorjobs.run(
        "vector.convert",
        source,
        tmp_path / "out",
        options=options,
        params=params,
        features=features,
    )
    assert vectordata.read(done.path).n.tolist() == ([0] if where else [0, 5, 6])
    reasons = [f"OGR cannot read the geometry of feature {n}" for n in (2, 4, 5)]
    assert [letter.reason for letter in done.letters] == [NO_NUMBERS, *reasons]
    assert any(
        "set aside, as OGR cannot read their geometries: 2, 4, 5" in told
        for told in done.plan.warnings
    )
    first = done.plan.grid.width - 3
    command = get_operation("vector.convert").reproduce(done.item, Window(first, 0, 1, 1))
    assert shlex.split(command)[-4:] == ["-fid", "1", str(source), "f"]
    command = get_operation("vector.convert").reproduce(done.item, Window(1, 0, 1, 1))
    assert "GML_SKIP_CORRUPTED_FEATURES" in shlex.split(command)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("text", ["0 0 90", "0 0 90 0 90 90"])
def test_a_mask_of_which_ogr_leaves_out_features_is_refused(text, tmp_path):
    """Features would be chosen by the others. Nor is a ring taken that is not closed."""
    ring = "<gml:LinearRing><gml:posList>0 0 90 0 90 90 0 0</gml:posList></gml:LinearRing>"
    shape = f"<gml:Polygon srsName='EPSG:4326'><gml:exterior>{ring}</gml:exterior></gml:Polygon>"
    mask = write(tmp_path / "m.gml", shape, shape.replace("0 0 90 0 90 90 0 0", text), shape)
    source = vectordata.write(vectordata.layer(5), tmp_path / "s.gpkg")
    params = {"mask": str(mask), "predicate": "intersects"}
    with pytest.raises(CorruptSourceError, match="cannot read all of its features"):
        vectorjobs.run("vector.filter", source, tmp_path / "out", params=params)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_features_without_order_that_ogr_leaves_out(tmp_path):
    """Which ones they are is not known: the source is refused, whatever is asked of it."""
    options = {"src_crs": "EPSG:4326"}
    for shape in (FINE[0], UNREAD[0]):
        source = write(tmp_path / f"s{len(shape)}.gml", FINE[0], shape, FINE[0])
        text = source.read_text()
        for own in (7, 3, 9):
            text = text.replace("<a:f>", f"<a:f fid='f.{own}'>", 1)
        source.write_text(text)
        if shape == FINE[0]:
            done = vectorjobs.run("vector.convert", source, tmp_path / "out", options=options)
            assert len(vectordata.read(done.path)) == 3
    for where in ("", "n < 5"):
        with pytest.raises(CorruptSourceError, match="has 3 features, of which OGR reads 2"):
            vectorjobs.probe("vector.convert", source, options=options, params={"where": where})


def test_broken_features_of_unknown_layers_are_refused(tmp_path, monkeypatch):
    """Better no output than one with places that nobody meant."""
    source = write(tmp_path / "s.gml", FINE[0], BROKEN[0])
    monkeypatch.setattr(
        "geobatch_tui.execution.vector.formats.xml.gml_elements.MEMBERS", frozenset({"others"})
    )
    with pytest.raises(CorruptSourceError, match=r"no numbers, .* in lines 2"):
        vectorjobs.run("vector.convert", source, tmp_path / "out", options={"src_crs": "EPSG:4326"})


def test_a_file_that_breaks_off_is_refused(tmp_path):
    """OGR reads what stands before the fault, at most, and says nothing."""
    source = write(tmp_path / "s.gml", *FINE * 100)
    text = source.read_text()
    at = text.rindex("<a:n>")
    source.write_text(text[:at] + "<a:t>this & that</a:t>" + text[at:])
    with pytest.raises(CorruptSourceError, match="cannot be read to its end") as caught:
        vectorjobs.run("vector.convert", source, tmp_path / "out", options={"src_crs": "EPSG:4326"})
    assert "repair it" in caught.value.hint

"""A geometry that OGR cannot read is not taken for none."""

from __future__ import annotations

import io
import itertools
import json
import re
import shlex
import tracemalloc
import zipfile

import pytest
import vectordata
import vectorjobs
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.errors import CorruptSourceError, MemoryBudgetError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.vector.formats.geojson import collection
from geobatch_tui.execution.vector.formats.lost_geometries import LEFT_OUT, TOO_LARGE

BROKEN = [
    {"type": "Polygon", "coordinates": [[["a", "b"]]]},
    {"type": "Nothing", "coordinates": [0, 0]},
    {"type": "Point"},
    {"type": "Point", "coordinates": [None, 0]},
    5,
]
NONE = [None, {"type": "Point", "coordinates": []}, {"type": "Polygon", "coordinates": []}]
FINE = [{"type": "Point", "coordinates": [n, 1.5]} for n in range(5)]


def _features(shapes):
    return [
        {"type": "Feature", "properties": {"n": n}, "geometry": shape}
        for n, shape in enumerate(shapes)
    ]


@pytest.fixture(params=["geojson", "geojsonl"])
def source(request, tmp_path):
    """Features with fine, broken and no geometries, in turn."""
    shapes = [*FINE[:2], *BROKEN, *FINE[2:4], *NONE, FINE[4]]
    path = tmp_path / f"s.{request.param}"
    if request.param == "geojson":
        head = {"type": "FeatureCollection", "name": 'a "features": [', "bbox": [0, 1, 2, 3]}
        path.write_text(json.dumps({**head, "features": _features(shapes), "more": [1, {}]}))
    else:
        path.write_text("".join(json.dumps(one) + "\n" for one in [*_features(shapes), 7]))
    return path


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("features", [0, 3])
def test_broken_geometries_are_set_aside(source, features, tmp_path):
    """Case 46: with a letter each; features without a geometry are published."""
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=features)
    assert vectordata.read(done.path).n.tolist() == [0, 1, 7, 8, 9, 10, 11, 12]
    letters = [one for one in done.letters if "record" not in one.reason]
    assert [one.position for one in letters] == [2, 3, 4, 5, 6]
    assert {one.reason for one in letters[:3]} == {
        "OGR cannot read its geometry, which is not null in the file"
    }


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("features", [0, 2])
def test_broken_geometries_are_set_aside_of_chosen_features_too(source, features, tmp_path):
    """They are found by their ids: which of all features OGR gives is not known else."""
    params = {"where": "n NOT IN (1, 3, 8)"}
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", params=params, features=features
    )
    made = vectordata.read(done.path)
    assert made.n.tolist() == [0, 7, 9, 10, 11, 12]
    assert made.geometry.isna().sum() <= len(NONE)
    letters = [one for one in done.letters if "record" not in one.reason]
    assert [one.position for one in letters] == [1, 2, 3, 4]


@pytest.mark.parametrize("suffix", ["geojson", "geojsonl"])
def test_a_feature_without_a_member_for_its_geometry_has_none(suffix, tmp_path):
    """It is published, as one whose geometry is null."""
    features = _features([FINE[0], None, BROKEN[2]])
    del features[1]["geometry"]
    source = tmp_path / f"s.{suffix}"
    whole = {"type": "FeatureCollection", "features": features}
    lines = "".join(json.dumps(one) + "\n" for one in features)
    source.write_text(lines if suffix == "geojsonl" else json.dumps(whole))
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert vectordata.read(done.path).geometry.isna().tolist() == [False, True]
    assert [one.position for one in done.letters] == [2]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("where", ["", "k <> 4"])
@pytest.mark.parametrize("text", ["%s", "[1, %s]"])
def test_whole_numbers_beyond_64_bits(text, where, tmp_path):
    """OGR puts the end of their range for them. What is the end is left."""
    numbers = [1, 2**63 - 1, 2**64 - 1, -(2**63), -(2**63) - 1, 10**30]
    line = '{"type": "Feature", "properties": {"k": %d, "n": %s}, "geometry": %s}\n'
    shape = json.dumps(FINE[0])
    source = tmp_path / "s.geojsonl"
    source.write_text("".join(line % (k, text % n, shape) for k, n in enumerate(numbers)))
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params={"where": where})
    assert vectordata.read(done.path).k.tolist() == [0, 1, 3]
    lost = [2, 4, 5] if not where else [2, 4]
    assert [(one.position, one.reason) for one in done.letters] == [(n, TOO_LARGE) for n in lost]
    params = {"where": where, "columns": ["k"]}
    done = vectorjobs.run("vector.convert", source, tmp_path / "k", params=params)
    assert not done.letters


@pytest.mark.parametrize("odd", ["null", "5", '{"type": "feature"}', json.dumps(FINE[0])])
def test_broken_geometries_are_told_among_what_is_no_feature(odd, tmp_path):
    """OGR passes it over; and reads all members that are called features."""
    one, two = (json.dumps(shape) for shape in _features([BROKEN[0], FINE[1]]))
    text = '{"features": [%s, %s], "more": {}, "features": [%s, %s]}'
    source = tmp_path / "s.geojson"
    source.write_text(text.replace("{", '{"type": "FeatureCollection", ', 1) % (odd, two, one, two))
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert vectordata.read(done.path).n.tolist() == [1, 1]
    assert [one.position for one in done.letters] == [1, 3][: 1 + odd.startswith("{")]


RING = [[0, 0], [9, 0], [9, 9], [0, 0]]
_POINT = {"type": "Point", "coordinates": [1, 2]}


def _of(kind, *parts):
    return {"type": kind, "coordinates": list(parts)}


def _together(*shapes):
    return {"type": "GeometryCollection", "geometries": list(shapes)}


#: Shapes with a part that OGR leaves out.
PARTLY = [
    _of("MultiPolygon", [RING], [[["a", "b"]]]),
    _of("MultiPolygon", [RING], [[[1]]]),
    _of("MultiPolygon", [RING], 5),
    _of("MultiPolygon", [RING], RING),
    _of("MultiPolygon", [RING, None]),
    _of("Polygon", None, RING),
    _of("Polygon", RING, [["x", 1]]),
    _of("Polygon", RING, [1, 2]),
    _of("MultiLineString", RING, None),
    _of("MultiLineString", RING, "x"),
    _of("MultiLineString", RING, [[0, 0], [1, True]]),
    _of("MultiLineString", RING, [RING]),
    _of("Point", float("nan"), 0),
]
#: Shapes of which all places lie too deep, or not deep enough.
MISPLACED = [
    _of("MultiPolygon", *RING),
    _of("MultiPolygon", RING, RING),
    _of("MultiLineString", [RING]),
]
PARTS = [
    _together(_POINT, None),
    _together(_POINT, 5),
    _together(_POINT, {"type": "Foo"}),
    _together(_POINT, _together(_of("Point", "x", 0))),
    _together(_POINT, PARTLY[0]),
]
#: Shapes of which nothing is left out.
WHOLE = [
    _of("MultiPolygon", [RING, []], []),
    _of("MultiLineString", RING, []),
    _of("LineString", [0, 0], [1.5e-3, -2, 3, 4]),
    _of("MultiPolygon"),
    _of("MULTIPOINT", [0, 0, 1]),
]


FORMS = ("geojson", "geojsonl", "indented")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("broken", "where", "form"),
    [
        # Each must be noticed alone, and all together wherever they are read from.
        *(([one], "", form) for one, form in zip(PARTLY, itertools.cycle(FORMS))),
        *(
            (broken, ("", "n <> 1")[(group + n) % 2], form)
            for group, broken in enumerate((PARTLY, MISPLACED, PARTS))
            for n, form in enumerate(FORMS)
        ),
    ],
)
def test_geometries_of_which_ogr_leaves_out_parts(broken, where, form, tmp_path):
    """It reads the others, and says so on stderr at most."""
    fine = [*WHOLE, _together(_POINT), _together()] if broken == PARTS else WHOLE
    features = _features([*fine, *broken, FINE[0]])
    source = tmp_path / f"s.{'geojsonl' if form == 'geojsonl' else 'geojson'}"
    whole = {"type": "FeatureCollection", "features": features}
    lines = "".join(json.dumps(one) + "\n" for one in features)
    text = json.dumps(whole, indent=2 if form == "indented" else None)
    source.write_text(lines if form == "geojsonl" else text)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params={"where": where})
    first = len(fine) - bool(where)
    wanted = [(first + n, LEFT_OUT) for n in range(len(broken))]
    assert [(one.position, one.reason) for one in done.letters] == wanted
    made = [n for n in range(len(fine)) if not where or n != 1]
    assert vectordata.read(done.path).n.tolist() == [*made, len(features) - 1]


def test_coordinates_that_are_as_they_should_be_are_not_looked_at_again(tmp_path, monkeypatch):
    """That takes as long as reading them. What is empty is looked at."""
    features = _features([*WHOLE[1:3], FINE[0], WHOLE[4]])
    features[0]["properties"] = {"coordinates_of": "a", "large": 2**64}
    source = tmp_path / "s.geojson"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    monkeypatch.setattr(collection, "feature_marks", None)
    vectorjobs.run("vector.convert", source, tmp_path / "out")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_large_numbers_of_other_fields_are_nothing_to_a_doubtful_file(tmp_path):
    """Nor are those that a collection has, where OGR reads real ones."""
    features = _features([FINE[0], None, PARTLY[0]])
    features[0]["properties"]["large"] = 10**30
    source = tmp_path / "s.geojson"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert [(one.position, one.reason) for one in done.letters] == [(2, LEFT_OUT)]
    assert vectordata.read(done.path).large[0] == 1e30
    source = source.with_suffix(".geojsonl")
    source.write_text("".join(json.dumps(one) + "\n" for one in features))
    params = {"columns": ["n"]}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params)
    assert [(one.position, one.reason) for one in done.letters] == [(2, LEFT_OUT)]


ODD = [FINE[0], {"type": "feature"}, {}, {"properties": {"n": 1}, "geometry": FINE[0]}]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("where", ["", "n < 2"])
def test_members_that_are_no_features(where, packed, indent, tmp_path):
    """OGR passes them over without a word; what is no object has nothing to lose."""
    one, *others = _features(FINE[:4])
    whole = {
        "name": "all {",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
        "features": [one, None, *ODD, *others, 5],
        "links": [{"features": [{}]}],
    }
    source = tmp_path / "s.geojson"
    source.write_text(json.dumps({"type": "FeatureCollection", **whole}, indent=indent))
    if packed:
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            archive.write(source, source.name)
        source = tmp_path / "s.zip"
    params = {"where": where}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, features=3)
    assert vectordata.read(done.path).n.tolist() == [0, 1] + [2, 3] * (not where)
    assert [one.reason.split(";")[0] for one in done.letters] == [
        f"member {n} of the collection is no feature, but of type {kind}"
        for n, kind in enumerate(("'Point'", "'feature'", "None", "None"), 3)
    ]
    assert "4 members set aside for being no features: 3, 4, 5, 6" in done.plan.warnings
    item, first = done.item, done.plan.grid.width - 4
    command = get_operation("vector.convert").reproduce(item, Window(first, 0, 1, 1))
    assert shlex.split(command)[:2] == ["jq", ".features[2]"]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 50, 10**6])
def test_members_are_counted_wherever_the_file_is_cut(piece):
    """Also with braces, quotes and escapes in text."""

    class Slow(io.BytesIO):
        def read(self, _=-1):
            return super().read(piece)

    one = {"type": "Feature", "properties": {'a"{': "}\\", "ü": [{}, '\\"']}, "geometry": FINE[0]}
    whole = {"links": [{}], "features": [one, None, {}, [], one], "more": [{}]}
    for indent in (None, 2):
        text = json.dumps(whole, indent=indent, ensure_ascii=False).encode()
        assert collection._objects(Slow(text))[0] == 3
    assert collection._objects(Slow(json.dumps(one).encode()))[0] == 0
    assert collection._objects(Slow(b'{"features":[{}]}}}'))[0] == 1


@pytest.mark.parametrize("suffix", ["geojson", "geojsonl"])
def test_the_largest_feature_counts_for_the_memory_of_a_chunk(suffix, tmp_path):
    """OGR parses it whole, in many times the bytes of its text, whichever chunk asks for it."""
    line = {"type": "LineString", "coordinates": [[n / 1e5, n / 1e5] for n in range(6000)]}
    plans = []
    for name, shape in (("small", FINE[0]), ("large", line)):
        feature = {"type": "Feature", "properties": {}, "geometry": shape}
        features = [*_features(FINE * 3), feature]
        whole = {"type": "FeatureCollection", "features": features}
        lines = "".join(json.dumps(one) + "\n" for one in features)
        source = tmp_path / f"{name}.{suffix}"
        source.write_text(lines if suffix == "geojsonl" else json.dumps(whole))
        plans.append(vectorjobs.probe("vector.convert", source, features=1))
    text = len(json.dumps(line))
    more = plans[1].chunk_bytes - plans[0].chunk_bytes
    assert 15 * text < more < 40 * text


def test_the_largest_feature_is_measured_by_its_places_also_where_it_is_long(tmp_path):
    """One that does not fit into a piece that is read at once counts as one that does."""
    line = {"type": "LineString", "coordinates": [[n / 1e5, n / 1e5] for n in range(100_000)]}
    feature = {"type": "Feature", "properties": {"deep": {"deeper": {}}}, "geometry": line}
    text = json.dumps({"type": "FeatureCollection", "features": [*_features(FINE), feature]})
    source = tmp_path / "s.geojson"
    source.write_text(text)
    count, found = collection.objects(str(source), str(source))
    assert count == len(FINE) + 1
    assert len(text) > 1 << 20
    assert found == pytest.approx(collection.needed(json.dumps(feature).encode()), rel=1e-4)


@pytest.mark.parametrize("suffix", ["geojson", "geojsonl", "json"])
def test_a_feature_that_does_not_fit_into_the_budget_is_refused(suffix, tmp_path):
    """Before a worker is ended for it, again and again; and the budget that is told suffices."""
    line = {"type": "LineString", "coordinates": [[n / 1e5, n / 1e5] for n in range(6000)]}
    features = [*_features(FINE), {"type": "Feature", "properties": {}, "geometry": line}]
    whole = json.dumps({"type": "FeatureCollection", "features": features})
    lines = "".join(json.dumps(one) + "\n" for one in features)
    source = tmp_path / f"s.{suffix}"
    source.write_text(lines if suffix == "geojsonl" else whole)
    with pytest.raises(MemoryBudgetError, match="leaves 2 MiB") as refused:
        vectorjobs.probe("vector.convert", source, most_bytes=2 << 20)
    assert "largest feature" in refused.value.message
    more = re.search(r"memory_budget by (\d+) MiB", refused.value.hint)
    assert more
    vectorjobs.probe("vector.convert", source, most_bytes=(2 + int(more[1])) << 20)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("suffix", ["geojson", "geojsonl"])
@pytest.mark.parametrize("broken", [PARTLY[0], PARTLY[5], PARTS[0]])
def test_a_mask_of_which_ogr_leaves_out_parts_is_refused(broken, suffix, tmp_path):
    features = _features([_of("Polygon", RING), broken])
    mask = tmp_path / f"m.{suffix}"
    whole = {"type": "FeatureCollection", "features": features}
    lines = "".join(json.dumps(one) + "\n" for one in features)
    mask.write_text(lines if suffix == "geojsonl" else json.dumps(whole))
    source = vectordata.write(vectordata.layer(5), tmp_path / "s.gpkg")
    params = {"mask": str(mask), "predicate": "intersects"}
    with pytest.raises(CorruptSourceError, match=r"cannot read all of its features; broken: 2$"):
        vectorjobs.run("vector.filter", source, tmp_path / "out", params=params)


def test_a_mask_with_members_that_are_no_features_is_refused(tmp_path):
    """They may be what was meant."""
    ring = [[0, 0], [90, 0], [90, 90], [0, 0]]
    shapes = _features([{"type": "Polygon", "coordinates": [ring]}] * 2)
    mask = tmp_path / "m.geojson"
    mask.write_text(json.dumps({"type": "FeatureCollection", "features": [*shapes, FINE[0]]}))
    source = vectordata.write(vectordata.layer(5), tmp_path / "s.gpkg")
    params = {"mask": str(mask), "predicate": "intersects"}
    with pytest.raises(CorruptSourceError, match=r"cannot read all of its features; broken: 3$"):
        vectorjobs.run("vector.filter", source, tmp_path / "out", params=params)


@pytest.mark.parametrize(
    ("own", "suffix", "form"),
    [
        ({}, "geojson", "GeoParquet"),
        ({}, "geojsonl", "GPKG"),
        ({"id": 3}, "geojson", "GPKG"),
        ({"id": 3}, "geojsonl", "GeoParquet"),
    ],
)
def test_a_field_called_id(own, suffix, form, tmp_path):
    """It is a field, with its values, though OGR calls its own ids so, too."""
    features = [
        {**own, "type": "Feature", "properties": {"id": n + 7}, "geometry": FINE[n]}
        for n in range(3)
    ]
    source = tmp_path / f"s.{suffix}"
    whole = {"type": "FeatureCollection", "features": features}
    lines = "".join(json.dumps(one) + "\n" for one in features)
    source.write_text(lines if suffix == "geojsonl" else json.dumps(whole))
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form, features=2)
    assert vectordata.read(done.path)["id"].tolist() == [7, 8, 9]


@given(
    st.lists(st.sampled_from([None, FINE[0], BROKEN[0]]), max_size=5),
    st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False) | st.text(), max_size=4),
    st.integers(1, 60),
    st.sampled_from([None, 1]),
)
def test_a_collection_is_read_in_pieces(shapes, more, piece, indent):
    """Wherever it is cut."""
    more.pop("features", None)
    whole = json.dumps({**more, "features": _features(shapes), "z": 1.25}, indent=indent)

    class Slow(io.StringIO):
        def read(self, _=-1):
            return super().read(piece)

    found = list(collection._members(collection._Text(Slow(whole))))
    assert found == _features(shapes)


@pytest.mark.parametrize(
    "wrong",
    ["nan", "[1, 2,, 3]", "{1: 2}", '"a\\q"', "[" * 10**6],
    ids=["word", "list", "object", "text", "deep"],
)
def test_a_value_that_is_none_is_not_sought_to_the_end(wrong):
    """All of the file would be in memory, however large."""
    file = io.StringIO(wrong + ", 5" * 3 * collection._PIECE)
    with pytest.raises(ValueError, match=r"."):
        collection._Text(file).value()
    assert file.tell() <= 4 * collection._PIECE


def test_a_value_may_be_cut_anywhere():
    """What is not all there yet is no error."""
    whole = '{"a": [1.5e3, -2, true, null, "x\\u00e9\\n\\\\", {"b": [], "c": {}}], "": NaN} '
    for piece in (1, 2, 3, 5, 7):

        class Slow(io.StringIO):
            def read(self, _=-1, piece=piece):
                return super().read(piece)

        assert collection._Text(Slow(whole)).value()["a"][4] == "xé\n\\"


@settings(max_examples=20)
@given(
    st.recursive(
        st.text() | st.none(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
    ),
    st.sampled_from(["", " \n", " x", ",\n{}"]),
    st.integers(1, 9),
    st.booleans(),
)
def test_what_follows_an_object_is_found(value, rest, piece, plain):
    """Wherever it is cut; without reading it."""

    class Slow(io.StringIO):
        def read(self, _=-1):
            return super().read(piece)

    text = collection._Text(Slow(json.dumps({"a": value}, ensure_ascii=plain) + rest))
    assert text.pass_over()
    assert bool(text.next()) == bool(rest.strip())
    assert not collection._Text(Slow(json.dumps({"a": value})[:-1])).pass_over()


def test_an_object_is_passed_over_in_little_memory(tmp_path, monkeypatch):
    """It may be larger than what there is."""
    monkeypatch.setattr(collection, "_PIECE", 1 << 17)
    source = tmp_path / "s.geojson"
    shape = [[n, n] for n in range(50_000)]
    source.write_text(json.dumps(_features([{"type": "LineString", "coordinates": shape}])[0]))
    tracemalloc.start()
    assert not collection.goes_on(str(source), str(source))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * collection._PIECE < 2 * source.stat().st_size


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": "Feature"}', '{"features": 5}'])
def test_what_is_no_collection_has_no_features(text):
    """It is left to OGR to say so."""
    assert list(collection._members(collection._Text(io.StringIO(text)))) == []

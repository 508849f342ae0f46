"""Catalogues as inputs: what they name is read, and what strangers wrote leads nowhere else."""

from __future__ import annotations

import json
import os

import pytest
from object_server import served
from stac_server import collection, item, searched

from geobatch_tui.config.catalog.stac_source import StacSource
from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.store_settings import Stores, StoreSettings
from geobatch_tui.orchestration.plan.catalog import bounded_api
from geobatch_tui.orchestration.plan.catalog.stac_inputs import walk_catalogue
from geobatch_tui.orchestration.plan.inputs import expand

CANARY = "canary"
DEEP, LONG = "[" * 100_000, "9" * 10_000


def source(tmp_path, text: str, file: str = "items.json", **more) -> StacSource:
    path = tmp_path / file
    path.write_text(text)
    return StacSource(stac=str(path), **more)


def test_items_become_inputs_with_their_facts(tmp_path) -> None:
    """Hrefs are relative to the file; of several assets the order is that of the job."""
    items = [
        item("S2 a", B04="t/a4.tif", B08="t/a8.tif"),
        item("S2/b", B04="./b4.tif", B08="b8.tif"),
    ]
    entry = source(tmp_path, collection(items), assets=("B08", "B04"))
    first, second = expand([entry], tmp_path / "out", "COG")
    assert first.members == (f"{tmp_path}/t/a8.tif", f"{tmp_path}/t/a4.tif")
    assert first.key == "S2 a.tif"
    assert second.key.startswith("S2_b~")
    assert second.members == (f"{tmp_path}/b8.tif", f"{tmp_path}/b4.tif")
    assert first.facts["id"] == "S2 a"
    assert first.facts["datetime"] == "2024-05-06T10:20:30Z"
    assert first.facts["properties"]["eo:cloud_cover"] == 12.5


def test_lines_a_single_item_and_a_url_are_read_too(tmp_path) -> None:
    """As NDJSON with empty lines and record separators; from a store with hrefs of its own."""
    lines = "\n".join(
        ["", json.dumps(item("a", data="a.tif")), "\x1e" + json.dumps(item("b", x="b.tif"))]
    )
    found = list(walk_catalogue(source(tmp_path, lines, "items.ndjson")))
    assert [one.places for one in found] == [(f"{tmp_path}/a.tif",), (f"{tmp_path}/b.tif",)]
    (alone,) = walk_catalogue(source(tmp_path, json.dumps(item("a", data="s3://b/k.tif"))))
    assert alone.places == ("s3://b/k.tif",)
    with served() as objects:
        objects.data["c/items.json"] = collection([item("a", data="x/a.tif")]).encode()
        (far,) = walk_catalogue(StacSource(stac=objects.url("c/items.json")))
        assert far.places == (objects.url("c/x/a.tif"),)


def test_names_hold_fields_and_lead_nowhere(tmp_path) -> None:
    """Whatever an id or a property is: no directory, no hidden file, no control character."""
    hostile = ["../../etc/x", "/abs", "..", ".hidden", "a\nb", "a/b", "a:b", "c" * 300, "\u202ex"]
    items = [item(name, data=f"{number}.tif") for number, name in enumerate(hostile)]
    entry = source(tmp_path, collection(items), name="{item.platform}/{item.id}")
    found = expand([entry], tmp_path / "out", "COG")
    for one in found:
        folder, _, name = one.key.partition("/")
        assert folder == "sentinel-2b"
        assert "/" not in name
        assert not name.startswith(".")
        assert name.isprintable()
        assert len(os.fsencode(name)) < 255
    assert len({one.key for one in found}) == len(hostile)
    entry = source(tmp_path, collection(items[:1]), name="{item.collection}-{item.datetime}")
    assert expand([entry], tmp_path, "COG")[0].key == "relief-2024-05-06T102030Z.tif"
    with pytest.raises(PreflightError, match="no 'gsd'"):
        expand([source(tmp_path, collection(items[:1]), name="{item.gsd}")], tmp_path, "COG")


@pytest.mark.parametrize(
    "href",
    ["/etc/passwd", "../x.tif", "a/../../x.tif", "file:///etc/passwd", "/vsicurl/http://h/x.tif",
     "vsi/../../x", ".", "ftp://h/x.tif",
     "https://h/x.tif?sig=canary", "https://h/x.tif#canary", "a\u0000b", "x" * 5000, 7, None, ["a.tif"]],
)  # fmt: skip
def test_a_catalogue_names_no_file_elsewhere(tmp_path, href) -> None:
    """Nor what is no file at all; the user may say where its files are."""
    (tmp_path / "c").mkdir()
    value = item("a", data="a.tif")
    value["assets"]["data"]["href"] = href
    with pytest.raises(PreflightError) as caught:
        list(walk_catalogue(source(tmp_path / "c", collection([value]))))
    assert caught.value.hint
    assert CANARY not in str(caught.value)


def test_files_lie_within_what_the_user_names(tmp_path) -> None:
    """Absolute paths, and those of file://, of a catalogue that lies elsewhere."""
    items = [item("a", data="/data/t/a.tif"), item("b", data="file:///data/t/b%20c.tif")]
    found = walk_catalogue(source(tmp_path, collection(items), within="/data"))
    assert [one.places for one in found] == [("/data/t/a.tif",), ("/data/t/b c.tif",)]
    with served() as objects:
        objects.data["items.json"] = collection([item("a", data="/etc/passwd")]).encode()
        (far,) = walk_catalogue(StacSource(stac=objects.url("items.json")))
        assert far.places == (objects.url("etc/passwd"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("nonsense", "no JSON"),
        (DEEP, "nested too deeply"),
        ('{"type": "FeatureCollection", "features": [{"a": NaN}]}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        (LONG, "thousands of digits"),
        ("[]", "no ItemCollection"),
        ('{"type": "Catalog", "links": []}', "is a Catalog"),
        ('{"type": "FeatureCollection", "features": {}}', "no ItemCollection"),
        ('{"type": "FeatureCollection", "features": [1]}', "item 1: an item is an object"),
        ('{"type": "Feature"}', "id is missing"),
        ('{"type": "Feature", "id": 7}', "id is a number"),
        ('{"type": "Feature", "id": ""}', "id is empty"),
        ('{"type": "Feature", "id": "a"}', "properties is missing"),
        ('{"type": "Feature", "id": "a", "properties": []}', "properties is a list"),
        ('{"type": "Feature", "id": "a", "properties": {"datetime": 7}}', "datetime is a number"),
        ('{"type": "Feature", "id": "a", "properties": {}}', "assets is missing"),
        ('{"type": "Feature", "id": "a", "properties": {}, "assets": {"x": 1}}', "name its assets"),
    ],
    ids=range(18),
)
def test_what_is_no_catalogue_is_said(tmp_path, text, reason) -> None:
    """A class, a sentence with the place, and a next step, whatever it is."""
    with pytest.raises(PreflightError, match=reason) as caught:
        list(walk_catalogue(source(tmp_path, text)))
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_bytes_that_are_no_text_a_missing_file_and_parquet_are_said(tmp_path) -> None:
    """And items without end."""
    (tmp_path / "items.json").write_bytes(b'{"a": "\xff"}')
    for name, reason in (
        ("items.json", "not UTF-8"), ("gone.json", "cannot read"), ("a.parquet", "GeoParquet")
    ):  # fmt: skip
        with pytest.raises(PreflightError, match=reason):
            list(walk_catalogue(StacSource(stac=str(tmp_path / name))))
    entry = source(tmp_path, collection([item(str(number), data="a.tif") for number in range(4)]))
    with pytest.raises(PreflightError, match="more than 3 items"):
        list(walk_catalogue(entry, most=3))


def test_a_missing_asset_is_named_and_none_is_guessed(tmp_path) -> None:
    """One raster alone needs no name; of several that with the role of data."""
    two = item("a", B04="a.tif", B08="b.tif")
    with pytest.raises(PreflightError, match="no asset 'B12', but B04, B08"):
        list(walk_catalogue(source(tmp_path, collection([two]), assets=("B12",))))
    with pytest.raises(PreflightError, match="name its assets"):
        list(walk_catalogue(source(tmp_path, collection([two]))))
    two["assets"]["B08"]["roles"] = ["overview"]
    (one,) = walk_catalogue(source(tmp_path, collection([two])))
    assert one.places == (f"{tmp_path}/a.tif",)


@pytest.mark.parametrize("methods", [("POST", "GET"), ("GET",)])
def test_a_search_goes_through_all_pages(methods) -> None:
    """By POST, or by GET where the API has no other; with the token of its store, and a limit."""
    items = [item(f"i{number}", data=f"https://h.example/{number}.tif") for number in range(5)]
    with searched(items) as api:
        api.methods = methods
        root = f"http://127.0.0.1:{api.port}"
        store_settings.use(Stores({root: StoreSettings(token=CANARY)}))
        try:
            entry = StacSource(
                stac=api.url, collections=("relief",), bbox=(7.0, 46.0, 8.0, 47.0),
                datetime="2024-01/2024-06", query={"eo:cloud_cover": {"lt": 20}},
            )  # fmt: skip
            found = list(walk_catalogue(entry))
            some = list(walk_catalogue(entry.model_copy(update={"limit": 3})))
        finally:
            store_settings.use(Stores())
    assert [one.places[0][-5:] for one in found] == [f"{number}.tif" for number in range(5)]
    assert len(some) == 3
    asked = [body for method, _, body, _ in api.asked if method == methods[0]]
    if methods[0] == "POST":
        assert asked[0]["datetime"] == "2024-01-01T00:00:00Z/2024-06-30T23:59:59Z"
        assert asked[0]["query"] == {"eo:cloud_cover": {"lt": 20}}
        assert asked[1]["collections"] == ["relief"]
    assert {token for *_, token in api.asked} == {f"Bearer {CANARY}"}


def bad(status: int, body: bytes = b"", **headers: str):
    return lambda number: (status, body, {name.replace("_", "-"): v for name, v in headers.items()})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (bad(200, b"<html>"), "no JSON"),
        (bad(200, DEEP.encode()), "nested too deeply"),
        (bad(200, b"[]"), "no object"),
        (bad(200, b'{"features": 7}'), "no list|no page"),
        (bad(200, b'{"features": [{}], "links": 7}'), "item 1|no page"),
        (bad(400, b"no such thing, token=canary"), "answers 400"),
        (bad(401), "forbidden"),
        (bad(404), "no search there"),
        (bad(301, Location="http://169.254.169.254/latest"), "leads to"),
        (bad(503), "answers 503"),
        (lambda n: (200, _page("http://127.0.0.2:9/search"), {}), "another host"),
        (lambda n: (200, _page("file:///etc/passwd"), {}), "not read|no page|another host"),
    ],
)
def test_an_api_that_lies_ends_in_a_sentence(monkeypatch, answer, reason) -> None:
    """Whatever it answers, no other host is asked, and no secret is told."""
    monkeypatch.setattr(bounded_api, "PAUSE", 0.0)
    with searched([]) as api:
        api.answer = answer
        with pytest.raises(PreflightError, match=reason) as caught:
            list(walk_catalogue(StacSource(stac=api.url)))
    assert "canary" not in str(caught.value)
    assert caught.value.hint


def _page(after: str) -> bytes:
    page = {
        "features": [item("a", data="https://h/a.tif")],
        "links": [{"rel": "next", "href": after}],
    }
    return json.dumps({"type": "FeatureCollection", **page}).encode()


def test_pages_that_come_again_and_answers_without_end_are_ended(monkeypatch) -> None:
    """The next page is the one before; an answer is larger than any page."""
    with searched([]) as api:
        api.answer = lambda number: (200, _page(f"{api.url}/search?token=1"), {})
        with pytest.raises(PreflightError, match="do not end"):
            list(walk_catalogue(StacSource(stac=api.url)))
        monkeypatch.setattr(bounded_api, "LARGEST_PAGE", 1000)
        api.answer = lambda number: (200, b" " * 5000, {})
        with pytest.raises(PreflightError, match="does not end"):
            list(walk_catalogue(StacSource(stac=api.url)))


def test_what_passes_is_asked_again(monkeypatch) -> None:
    """A server that asks to slow down, twice; and one that cannot be reached."""
    monkeypatch.setattr(bounded_api, "PAUSE", 0.0)
    with searched([item("a", data="https://h.example/a.tif")]) as api:
        api.answer = lambda number: (429, b"", {}) if number < 2 else None
        assert len(list(walk_catalogue(StacSource(stac=api.url)))) == 1
        gone = api.url
    with pytest.raises(PreflightError, match="cannot be asked"):
        list(walk_catalogue(StacSource(stac=gone)))

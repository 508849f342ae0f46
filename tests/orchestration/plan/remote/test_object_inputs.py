"""Inputs in stores: prefixes, patterns, lists, and what a hostile store lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from object_server import served

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.store_settings import Stores, StoreSettings
from geobatch_tui.orchestration.plan.inputs import expand
from geobatch_tui.orchestration.plan.remote import object_inputs

KEYS = ("in/a.tif", "in/b.TIF", "in/deep/c.tif", "in/notes.txt", "in/.hidden/d.tif", "inside/e.tif")


@pytest.fixture
def server():
    """A bucket ``b`` on loopback."""
    before = store_settings.current()
    with served() as objects:
        objects.data = {f"b/{key}": b"x" for key in KEYS}
        objects.page = 2
        endpoint = objects.url("").rstrip("/")
        store_settings.use(Stores({"s3://b": StoreSettings(endpoint=endpoint, anonymous=True)}))
        yield objects
        store_settings.use(before)


def found(*inputs: str) -> dict[str, str]:
    return {one.path: one.key for one in expand(inputs, Path("/out"), "COG")}


@pytest.mark.parametrize(
    ("entry", "keys"),
    [
        ("s3://b/in/", ["a.tif", "b.tif", "deep/c.tif"]),
        ("s3://b/in/*.tif", ["a.tif"]),
        ("s3://b/in/?.TIF", ["b.tif"]),
        ("s3://b/in/**/*.tif", ["_hidden/d.tif", "a.tif", "deep/c.tif"]),
        ("s3://b/**", ["in/_hidden/d.tif", "in/a.tif", "in/b.tif", "in/deep/c.tif",
                       "in/notes.txt.tif", "inside/e.tif"]),
        ("s3://b/in/a.tif", ["a.tif"]),
    ],
)  # fmt: skip
def test_a_store_is_listed_page_by_page(server, entry, keys):
    """Below a prefix what bears the suffix of a raster, as in a directory; else what matches."""
    assert sorted(found(entry).values()) == keys


def test_a_list_of_inputs_names_objects_and_files(server, tmp_path):
    """Side by side, each once."""
    (tmp_path / "x.tif").touch()
    (tmp_path / "list.txt").write_text("s3://b/in/a.tif\nx.tif\ns3://b/in/a.tif\n")
    assert list(found(f"@{tmp_path}/list.txt")) == ["s3://b/in/a.tif", f"{tmp_path}/x.tif"]


def test_names_that_a_store_chose_lead_nowhere(server):
    """Outputs stay below their directory, and apart from the run's own."""
    hostile = (
        ".geobatch/ledger.db.tif",
        "a%2Fb.tif",
        "a\\b.tif",
        "k" * 1000 + ".tif",
    )
    server.data = {f"b/in/{key}": b"x" for key in hostile}
    keys = found("s3://b/in/**").values()
    assert len(keys) == len(hostile)
    for key in keys:
        assert not key.startswith((".", "/"))
        assert ".." not in Path(key).parts
        assert all(len(part.encode()) <= 255 for part in Path(key).parts)


@pytest.mark.parametrize("key", ["../../etc/x.tif", "a//b.tif", "a\nb.tif"])
def test_a_key_that_no_client_takes_is_named(server, key):
    """One of them among thousands: the client gives up its list, and we say why."""
    server.data[f"b/in/{key}"] = b"x"
    with pytest.raises(PreflightError, match="does not take") as caught:
        found("s3://b/in/")
    assert "\n" not in caught.value.message
    assert key.rpartition("/")[2].partition("\n")[0] in caught.value.message


def test_an_empty_prefix_a_server_and_a_store_that_is_down_say_so(server):
    """Before anything is written."""
    with pytest.raises(PreflightError, match="no input matched"):
        found("s3://b/nothing/")
    with pytest.raises(PreflightError, match="has no list"):
        found(server.url("b/"))
    with pytest.raises(PreflightError, match="not read"):
        found("ftp://host/a.tif")
    server.fault = lambda *_: "403"
    with pytest.raises(PreflightError, match=r"cannot list .* forbidden"):
        found("s3://b/in/")


def test_a_listing_that_does_not_end_is_ended(server, monkeypatch):
    """With a word on what to do."""
    monkeypatch.setattr(object_inputs, "MOST_LISTED", 3)
    with pytest.raises(PreflightError, match="more than 3 objects"):
        found("s3://b/in/")


def test_what_lies_beside_an_object_is_known_from_the_list(server):
    """So that a probe need not ask for it, but for what is named by itself."""
    beside = ("in/a.tif.msk", "in/b.tfw", "in/deep/c.tif.aux.xml", "in/deep/a.tif")
    server.data |= {f"b/{key}": b"x" for key in beside}
    alone = {one.key for one in expand(["s3://b/in/"], Path("/out"), "COG") if one.alone}
    assert alone == {"deep/a.tif"}
    assert not any(one.alone for one in expand(["s3://b/in/deep/a.tif"], Path("/out"), "COG"))


def test_that_nothing_lies_beside_objects_can_be_said(server):
    """In the settings of their store: for those of a list and for those named by themselves."""
    server.data["b/in/a.tif.msk"] = b"x"
    settings = store_settings.current().of("s3://b")
    store_settings.use(Stores({"s3://b": replace(settings, sidecars=False)}))
    inputs = [
        "s3://b/in/",
        "s3://b/inside/e.tif",
        "s3://other/a.tif",
        "/in/a.tif",
        "s3://b/%zz.tif",
    ]
    known = {one.path: one.alone for one in expand(inputs, Path("/out"), "COG", own_names=False)}
    assert {path for path, alone in known.items() if not alone} == {"s3://other/a.tif", "/in/a.tif"}

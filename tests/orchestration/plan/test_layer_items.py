"""Names of items where each layer of a source is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from geobatch_tui.errors import PreflightError
from geobatch_tui.orchestration.plan.inputs import (
    NAME_MAX,
    SUFFIXES,
    Input,
    Names,
    folded,
    items_of,
    prefix_of,
)

HOSTILE = (
    "../../etc/passwd", "/etc/passwd", "a\\b", "..", ".", "", " ", ".hidden", "dot.", "nul\0",
    "line\nfeed", "\x1b[2J", "\u202egpj", "\ud800", "a/b", "a_b", "a:b", "*", "~1", "x" * 300,
    "x" * 301, "ß" * 80, "Roads", "ROADS", "roads~5e6f1d20", "straße", "strasse", "e\u0301", "\u00e9",
)  # fmt: skip


def test_one_layer_is_the_input_itself() -> None:
    entry = Input("/in/a.gpkg", "a.parquet")
    assert items_of(entry, ["roads"], "GeoParquet") == [entry]
    assert items_of(entry, [], "GeoParquet") == [entry]


def test_plain_names_stay() -> None:
    found = items_of(Input("/in/a.gpkg", "d/a.shp.zip"), ["roads", "été 2.0"], "Shapefile")
    assert [(item.key, item.layer) for item in found] == [
        ("d/a.roads.shp.zip", "roads"),
        ("d/a.été 2.0.shp.zip", "été 2.0"),
    ]


@pytest.mark.parametrize("form", ["GeoParquet", "Shapefile"])
@pytest.mark.parametrize("stem", ["a", "a.b", "l" * 240, "\udcff" * 200])
def test_no_name_of_a_layer_is_a_path(form: str, stem: str) -> None:
    entry = Input("/in/a.gpkg", f"d/{stem}{SUFFIXES[form]}")
    found = items_of(entry, HOSTILE, form)
    assert [item.layer for item in found] == list(HOSTILE)
    assert len({folded(item.key) for item in found}) == len(HOSTILE)
    for item in found:
        assert item.key.startswith(prefix_of(entry.key, form))
        folder, name = item.key.split("/")
        assert folder == "d"
        assert name.endswith(SUFFIXES[form])
        raw = name.encode("utf-8", "surrogateescape")
        assert len(raw) <= NAME_MAX
        part = raw.removeprefix(stem.encode("utf-8", "surrogateescape")[:9]).decode(
            "utf-8", "replace"
        )
        assert part.replace("\ufffd", "").isprintable()


def test_a_name_depends_on_its_layer_alone() -> None:
    """Another layer beside it changes no output's name, unless case alone tells them apart."""
    entry = Input("/in/a.gpkg", "a.parquet")
    few, many = (items_of(entry, names, "GeoParquet") for names in (["a/b", "c"], HOSTILE))
    assert few[0] == many[HOSTILE.index("a/b")]


def test_two_items_of_one_name_are_refused(tmp_path: Path) -> None:
    inputs = [
        Input(f"{tmp_path}/in/a.gpkg", "a.gpkg"),
        Input(f"{tmp_path}/in/a.b.gpkg", "a.b.gpkg"),
    ]
    names = Names(inputs, tmp_path / "out")
    names.take("a.b.gpkg", inputs[0].path)
    names.take("a.c.gpkg", inputs[0].path)
    with pytest.raises(PreflightError, match=r"in/a\.gpkg and .*/in/a\.b\.gpkg would both become"):
        names.take("A.b.gpkg", inputs[1].path)
    with pytest.raises(PreflightError, match=r"would both become a\.c\.gpkg"):
        names.take("a.c.gpkg", inputs[0].path)
    with pytest.raises(PreflightError, match=r"the input .*a\.b\.gpkg would be replaced"):
        Names(inputs, tmp_path / "in").take("a.b.gpkg", inputs[0].path)

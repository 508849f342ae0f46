"""What a run has published, as its ledger tells it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from run_project import Project

import geobatch_tui
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.schema.updates import ItemRow, ItemState
from geobatch_tui.orchestration.state.inspection import Inspector
from geobatch_tui.orchestration.state.published import (
    MANIFEST,
    crs_name,
    entry,
    published,
    stream_csv,
)
from geobatch_tui.orchestration.workers.thread_pool import ThreadPool

WKT = 'PROJCRS["a",BASEGEOGCRS["b",ID["EPSG",4326]],LENGTHUNIT["metre",1,ID["EPSG",9001]]'


def row(key: str = "a.tif", **changes: object) -> ItemRow:
    facts: dict[str, object] = {
        "item_id": 1,
        "key": key,
        "source": "/data/a.tif",
        "src_size": 1,
        "src_mtime_ns": 1,
        "src_digest": "",
        "params_digest": "",
        "code_digest": "",
        "fingerprint": "",
        "params": {},
        "plan": {},
        "out_path": "/elsewhere",
        "first_chunk": 1,
        "n_chunks": 1,
    }
    return ItemRow(**(facts | changes))  # type: ignore[arg-type]


def test_a_raster_is_told_by_its_plan() -> None:
    """Size in pixels, CRS by its code, and the box round its corners, rotated ones as well."""
    detail = {"width": 20, "height": 10, "count": 3, "crs": f'{WKT},ID["EPSG",6933]]'}
    one = entry(row(plan={"detail": detail | {"transform": [2, 0, 100, 0, -2, 50]}}), "/o/a.tif", 2)
    assert (one["width"], one["height"], one["bands"], one["features"]) == (20, 10, 3, None)
    assert one["bounds"] == [100, 30, 140, 50]
    assert (one["crs"], one["path"], one["seconds"]) == ("EPSG:6933", "/o/a.tif", 2)
    turned = entry(row(plan={"detail": detail | {"transform": [0, 1, 0, 1, 0, 0]}}), "/o/a.tif", 2)
    assert turned["bounds"] == [0, 0, 10, 20]


def test_features_are_told_by_the_facts_of_their_output() -> None:
    """How many there are, and their box; what is not known is None."""
    facts = {"features_out": 7, "bounds": [1.0, 2.0, 3.0, 4.0]}
    detail = {"dst_crs": f"{WKT}]", "count": 9}
    one = entry(row("a.fgb", plan={"detail": detail}, facts=facts), "/o/a.tif", None)
    assert (one["features"], one["bounds"], one["width"], one["bands"]) == (
        7,
        [1, 2, 3, 4],
        None,
        None,
    )
    assert (one["crs"], one["seconds"]) == (f"{WKT}]", None)
    assert entry(row(), "/o/a.tif", 0.0)["crs"] is None


@pytest.mark.parametrize(
    ("wkt", "name"),
    [
        (f'{WKT},ID["EPSG",6933]]', "EPSG:6933"),
        ('GEOGCS["a",AUTHORITY["EPSG","4326"]]', "EPSG:4326"),
        ('GEOGCRS["a",ID["OGC","CRS84"]]', "OGC:CRS84"),
        (f"{WKT}]", f"{WKT}]"),
        ("", None),
    ],
)
def test_a_crs_has_its_own_code_or_none(wkt: str, name: str | None) -> None:
    """The code of a unit or of the base is not the code of the whole."""
    assert crs_name(wkt) == name


class Told:
    """An inspector that needs no worker."""

    def __init__(self, facts: dict[str, object]) -> None:
        self.facts_told = facts
        self.asked: list[tuple[str, str]] = []

    def facts(self, op: str, path: str) -> dict[str, object]:
        self.asked.append((op, path))
        return self.facts_told


class Rows:
    """A ledger of these items."""

    def __init__(self, *rows: ItemRow) -> None:
        self.rows = rows

    def items(self) -> tuple[ItemRow, ...]:
        return self.rows

    def seconds(self, row: ItemRow) -> float:
        return 1.5


def test_what_an_earlier_ledger_lacks_is_read_from_the_file() -> None:
    """The box and the number of features of outputs that older versions made; of no other."""
    told = Told({"features_out": 7, "bounds": [1, 2, 3, 4]})
    vector = {"params": {"op": {"name": "vector.clip"}}, "state": ItemState.PUBLISHED}
    rows = (
        row("old.fgb", **vector, facts={"features_out": 5}),
        row("new.fgb", **vector, facts={"features_out": 6, "bounds": None}),
        row("a.tif", params={"op": {"name": "raster.clip"}}, state=ItemState.PUBLISHED),
    )
    state = StateDir(Path("/o"), Path("/o/.geobatch"), Path("/o/.geobatch/ledger.db"))
    found = list(published(Rows(*rows), state, told))  # type: ignore[arg-type]
    assert told.asked == [("vector.clip", "/o/old.fgb")]
    assert [one["features"] for one in found] == [7, 6, None]
    assert found[0]["bounds"] == [1, 2, 3, 4]


def test_an_inspector_asks_a_worker(tmp_path: Path) -> None:
    """From any thread, one file after another; one that cannot be read tells nothing."""
    path = tmp_path / "a.geojson"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"a": 1},'
        ' "geometry": {"type": "Point", "coordinates": [5, 6]}}]}'
    )
    with Inspector(lambda _: ThreadPool()) as inspector:
        assert inspector.facts("vector.convert", str(tmp_path / "none.fgb")) == {}
        found = inspector.facts("vector.convert", str(path))
        assert (found["features_out"], found["bounds"]) == (1, [5, 6, 5, 6])
    with Inspector(lambda _: pytest.fail("made")):
        pass


async def test_outputs_of_a_run(tmp_path: Path) -> None:
    """Those that were published, with their digests; one that is held back is none."""
    project = Project(
        tmp_path,
        inputs=["a.tif", "b.tif"],
        op={"faults": {"raise": [1]}, "only_key": "b.tif", "milliseconds": 2},
        values={"retry": {"max_attempts": 1}},
    )
    await project.run()
    (one,) = geobatch_tui.open_run(project.out).outputs()
    data = project.output("a.tif").read_bytes()
    assert (one["path"], one["item"]) == (str(project.output("a.tif")), "a.tif")
    assert one["source"] == str(project.source("a.tif"))
    assert one["size"] == len(data)
    assert len(one["sha256"]) in {32, 64}
    assert one["seconds"] > 0.01
    assert not (project.out / MANIFEST).exists()
    table = io.StringIO()
    stream_csv([one | {"bounds": [1, 2, 3, 4], "item": "=1+1"}], table)
    (read,) = csv.DictReader(io.StringIO(table.getvalue()))
    assert (read["path"], read["item"], read["maxy"]) == (one["path"], "'=1+1", "4")


async def test_a_manifest_when_it_is_asked_for(tmp_path: Path) -> None:
    """The same in one file beside the outputs, made anew by each run; no chunk is stale for it."""
    project = Project(tmp_path)
    await project.run()
    project.values["output"] = {"manifest": True}
    again = await project.run()
    assert again.counts["current"] == 10
    told = json.loads((project.out / MANIFEST).read_text())
    assert told["run_id"] == again.run_id
    assert told["outputs"] == list(geobatch_tui.open_run(project.out).outputs())
    assert len(told["outputs"]) == 1
    await project.run()
    assert json.loads((project.out / MANIFEST).read_text())["run_id"] != again.run_id
    assert [path.name for path in project.out.glob(".*") if path.name != ".geobatch"] == []


async def test_a_file_of_somebody_elses_is_not_replaced(tmp_path: Path) -> None:
    """It stays, the run is a success, and a warning says why there is no manifest."""
    project = Project(tmp_path, values={"output": {"manifest": True}})
    project.out.mkdir()
    (project.out / MANIFEST).write_text("[]")
    result = await project.run()
    assert result.exit_code == 0
    assert any("is no list of outputs" in warning for warning in result.warnings)
    assert (project.out / MANIFEST).read_text() == "[]"

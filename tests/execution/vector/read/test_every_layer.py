"""A source of several layers, each of which becomes an item."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.looking import LayersReceipt, LayersTask
from geobatch_tui.execution.vector.read.layer import layers
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.dry_run import choose, run_trial

if TYPE_CHECKING:
    from geobatch_tui.config.layers import LoadedJob

ODD = "up/../over"


@dataclass
class Place:
    """A folder of sources, and where their outputs go."""

    root: Path

    @property
    def out(self) -> Path:
        return self.root / "out"

    def write(self, name: str, counts: dict[str, int]) -> Path:
        """A source with so many features in each layer."""
        path = self.root / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        for at, (layer, count) in enumerate(counts.items()):
            vectordata.write(vectordata.layer(count), path, layer=layer, append=at > 0)
        return path

    def job(self, form: str = "GeoParquet", layer: str = "*", **more: str) -> LoadedJob:
        return make_job(
            {
                "source": {"inputs": [str(self.root / "in")], "layer": layer},
                "op": {"name": "vector.convert", **more},
                "output": {"dir": str(self.out), "format": form},
                "engine": {"executor": "thread", "max_workers": 1, "chunk_features": 40},
            }
        )

    def outputs(self) -> dict[str, int]:
        return {
            path.name: len(gpd.read_parquet(path)) for path in sorted(self.out.glob("*.parquet"))
        }

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.glob("*.parquet")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_each_layer_is_an_item(place: Place) -> None:
    source = place.write("s.gpkg", {"one": 90, "Two": 20, ODD: 10})
    place.write("single.gpkg", {"only": 5})
    report = await geobatch_tui.plan(place.job())
    (odd,) = {entry.key for entry in report.entries} - {
        "s.one.parquet", "s.Two.parquet", "single.parquet",
    }  # fmt: skip
    assert odd.startswith("s.up_.._over~")
    assert not place.out.exists()
    commands = (await geobatch_tui.plan(place.job(), gdal=True)).gdal_commands
    assert [line.split()[-1] for line in commands].count("Two") == 1

    done = await geobatch_tui.run(place.job())
    assert done.exit_code == 0
    made = {"s.one.parquet": 90, "s.Two.parquet": 20, odd: 10, "single.parquet": 5}
    assert place.outputs() == dict(sorted(made.items()))
    assert sorted(path.name for path in (place.root / "in").iterdir()) == ["s.gpkg", "single.gpkg"]
    first = place.bytes()

    again = await geobatch_tui.plan(place.job())
    assert dict(again.reasons) == {"current": 6}

    (place.out / "s.Two.parquet").unlink()
    again = await geobatch_tui.plan(place.job())
    assert dict(again.reasons) == {"current": 5, "output_missing": 1}
    assert (await geobatch_tui.run(place.job())).exit_code == 0
    assert place.bytes() == first

    # Archived after it was done: the work stands.
    shutil.move(source, place.root / "away.gpkg")
    place.write("s.gpkg", {"gone": 1}).unlink()
    (place.root / "in" / "s.gpkg").symlink_to(place.root / "nowhere")
    again = await geobatch_tui.plan(place.job())
    assert dict(again.reasons) == {"current": 6}


async def test_a_ledger_is_made_again_from_the_outputs(place: Place) -> None:
    place.write("s.gpkg", {"one": 9, "two": 2})
    await geobatch_tui.run(place.job())
    before = place.bytes()
    shutil.rmtree(place.out / ".geobatch")
    report = await geobatch_tui.plan(place.job())
    assert {entry.detail for entry in report.entries} == {"adopted"}
    assert place.bytes() == before


async def test_one_bad_layer_costs_itself_alone(place: Place) -> None:
    """Here one without geometry, which a GeoPackage holds and FlatGeobuf does not."""
    source = place.write("s.gpkg", {"good": 9})
    table = pd.DataFrame({"n": [1, 2]})
    pyogrio.write_dataframe(table, source, layer="styles", append=True)
    done = await geobatch_tui.run(place.job("FlatGeobuf"))
    assert [path.name for path in place.out.glob("*.fgb")] == ["s.good.fgb"]
    with LedgerReader(place.out / ".geobatch" / "ledger.db") as reader:
        (letter,) = reader.dead_letters()
    assert letter["item"] == "s.styles.fgb"
    assert "layer 'styles' of" in letter["error_message"]
    assert done.exit_code == 12
    assert (await geobatch_tui.run(place.job("GPKG"))).exit_code == 0
    assert len(pyogrio.read_dataframe(place.out / "s.styles.gpkg")) == 2


async def test_what_cannot_be_opened_is_one_dead_letter_until_it_is_retried(place: Place) -> None:
    source = place.write("s.gpkg", {"one": 9, "two": 2})
    place.write("t.gpkg", {"one": 9, "two": 2})
    whole = source.read_bytes()
    source.write_bytes(whole[:100] + bytes(len(whole) - 100))
    assert (await geobatch_tui.run(place.job())).exit_code == 12
    report = await geobatch_tui.plan(place.job())
    assert dict(report.reasons) == {"current": 2, "was_failed": 1}
    source.write_bytes(whole)
    done = await geobatch_tui.run(place.job())
    assert done.exit_code == 0
    assert sorted(place.outputs()) == [
        "s.one.parquet", "s.two.parquet", "t.one.parquet", "t.two.parquet",
    ]  # fmt: skip


async def test_names_that_collide_end_the_plan(place: Place) -> None:
    place.write("a.gpkg", {"b": 1, "c": 1})
    place.write("a.b.gpkg", {"only": 1})
    with pytest.raises(PreflightError, match=r"would both become a\.b\.parquet"):
        await geobatch_tui.plan(place.job())


async def test_a_trial_finds_the_layers(place: Place) -> None:
    place.write("s.gpkg", {"one": 90, "two": 20})
    place.write("t.gpkg", {"only": 5})
    report = await geobatch_tui.plan(place.job())
    chosen, todo = choose(report, 3)
    assert todo == 5
    scratch = place.root / "scratch"
    scratch.mkdir()
    trial = await run_trial(place.job(), chosen, scratch, open_chunks=todo)
    assert [chunk.error for chunk in trial.chunks] == [""] * 3
    assert {chunk.item for chunk in trial.chunks} == set(chosen)


def test_two_layers_of_one_name_are_refused(tmp_path: Path, monkeypatch) -> None:
    """OGR opens the first of them twice."""
    path = vectordata.write(vectordata.layer(1), tmp_path / "s.gpkg")
    listed = [["a", "Point"], ["b", "Point"], ["a", "Point"]]
    monkeypatch.setattr(
        "geobatch_tui.execution.vector.ogr.layer_info.pyogrio.list_layers", lambda _: listed
    )
    with pytest.raises(SchemaError, match="several layers of the name 'a'"):
        layers(LayersTask(0, "vector.convert", str(path)), vectorjobs.stage)


def test_the_refusal_names_the_layers_and_the_way_to_take_all(place: Place) -> None:
    source = place.write("s.gpkg", {"one": 1, "two": 1})
    with pytest.raises(SchemaError, match="2 layers: 'one', 'two'") as refused:
        vectorjobs.probe("vector.convert", source)
    assert (
        refused.value.hint == 'name one in source.layer; source.layer = "*" makes an item of each'
    )


def test_parquet_is_asked_of_no_ogr(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"n": [1]}, geometry=[shapely.Point(1, 2)], crs=4326)
    source = vectordata.write(frame, tmp_path / "s.parquet")
    assert layers(LayersTask(0, "vector.convert", str(source)), vectorjobs.stage).names == ("",)


@pytest.mark.parametrize(
    "message", [LayersTask(7, "vector.convert", "/a"), LayersReceipt(("a", ""))]
)
def test_they_cross_a_pipe(message) -> None:
    assert wire.unpack(wire.pack(1, message)[wire.HEADER.size :]) == message

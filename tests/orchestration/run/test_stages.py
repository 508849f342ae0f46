"""Jobs with a stage: what survives changes, damage and dead chunks, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.raster.stages import recomputation
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.single_chunk import compute

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.state.outcome import RunResult

STORE = {"name": "materialize"}
SLOPE = {"name": "slope"}
OWN = """
from geobatch_tui import step

@step
def f(block, *, window, bad: int = -1):
    if window.col_off == bad:
        raise ValueError("no luck")
    return block
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source of 600 x 300 pixels, and a function that fails in one column of chunks."""
    rng = np.random.default_rng(3)
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": 600, "height": 300, "count": 1, "dtype": "float32",
        "crs": "EPSG:32633", "transform": from_origin(500000, 5300000, 30, 30),
    }  # fmt: skip
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as out:
        out.write(rng.normal(100, 5, (1, 300, 600)).astype("float32"))
    (tmp_path / "steps.py").write_text(OWN)
    return tmp_path


def job(
    folder: Path, *steps: dict[str, Any], out: str = "out", side: int = 256, **output: Any
) -> LoadedJob:
    values = {
        "source": {"inputs": [str(folder / "a.tif")], "allow_code": True},
        "op": {"name": "raster.pipeline", "steps": list(steps)},
        "output": {
            "dir": str(folder / out),
            "creation": {"blocksize": 256, "compress": "lzw"},
            **output,
        },
        "engine": {"max_workers": 2, "executor": "thread", "chunk_cols": side, "chunk_rows": side},
        "retry": {"backoff_base": "1ms", "backoff_cap": "2ms"},
    }
    return make_job(values)


def own(folder: Path, bad: int = -1) -> dict[str, Any]:
    return {"use": f"{folder / 'steps.py'}:f", "bad": bad}


def pixels(folder: Path, out: str = "out") -> bytes:
    with rasterio.open(folder / out / "a.tif") as dataset:
        return bytes(dataset.read().tobytes())


def work(folder: Path) -> list[Path]:
    return sorted((folder / "out" / ".geobatch" / "work").rglob("*.tif"))


def log(folder: Path) -> str:
    return (folder / "out" / ".geobatch" / "log.jsonl").read_text()


async def run(folder: Path, *steps: dict[str, Any], **how: Any) -> RunResult:
    return await geobatch_tui.run(job(folder, *steps, **how))


async def test_a_stage_changes_no_pixel_and_is_swept(folder: Path) -> None:
    plain = await run(folder, SLOPE, {"name": "tpi"}, out="plain")
    stored = await run(folder, SLOPE, STORE, {"name": "tpi"})
    assert (plain.counts["done"], stored.counts["done"], stored.exit_code) == (6, 12, 0)
    assert pixels(folder) == pixels(folder, "plain")
    assert work(folder) == []
    with LedgerReader(folder / "out" / ".geobatch" / "ledger.db") as reader:
        assert reader.audit() == []
    again = await run(folder, SLOPE, STORE, {"name": "tpi"})
    assert (again.counts["done"], again.counts["current"]) == (0, 12)


async def test_the_plan_says_what_is_stored_and_why(folder: Path) -> None:
    report = await geobatch_tui.plan(job(folder, SLOPE, STORE, {"name": "tpi"}))
    assert (report.chunks, report.stage_bytes) == (12, report.notes[0]["stages"][0]["bytes"])
    assert any("step 2 (materialize) asks for a stage" in text for text in report.warnings)
    labels = [label for label, _, _ in report.explain()]
    assert labels[:2] == ["a.tif@stage1:0,0", "a.tif@stage1:0,1"]
    assert labels[6:8] == ["a.tif@0,0", "a.tif@0,1"]


@pytest.mark.parametrize("policy", ["hold", "fill"])
async def test_a_dead_chunk_of_a_stage_holds_its_item_alone(folder: Path, policy: str) -> None:
    steps = own(folder, bad=256), STORE, SLOPE
    result = await run(folder, *steps, on_dead_chunk=policy)
    assert (result.exit_code, result.items["held"]) == (12, 1)
    assert {name: result.counts[name] for name in ("total", "done", "dead", "pending")} == {
        "total": 12, "done": 4, "dead": 2, "pending": 6,
    }  # fmt: skip
    letters = sorted(result.dead_letters, key=lambda letter: str(letter["chunk"]))
    assert [letter["chunk"] for letter in letters] == ["a.tif@stage1:0,1", "a.tif@stage1:1,1"]
    assert letters[0]["stage"].endswith("steps.py:f")
    assert letters[0]["window"] == [256, 0, 256, 256]
    # It stays so, and nothing is done again.
    again = await run(folder, *steps, on_dead_chunk=policy)
    assert (again.counts["done"], again.counts["dead"], again.items["held"]) == (0, 2, 1)
    (folder / "steps.py").write_text(OWN.replace("raise", "print() #"))
    mended = await run(folder, *steps, on_dead_chunk=policy)
    assert (mended.exit_code, mended.items["published"]) == (0, 1)


async def test_what_follows_a_stage_changes_alone(folder: Path) -> None:
    """A damaged tile of the stage that was kept is found, and its chunk computed again."""
    held = await run(folder, SLOPE, STORE, own(folder, bad=256))
    assert (held.counts["done"], held.counts["dead"]) == (10, 2)
    (file,) = work(folder)
    data = bytearray(file.read_bytes())
    data[-5000] ^= 1
    file.write_bytes(data)
    report = await geobatch_tui.plan(job(folder, SLOPE, STORE, own(folder)))
    assert dict(report.reasons) == {"param_changed": 12}
    result = await run(folder, SLOPE, STORE, own(folder))
    assert (result.exit_code, result.counts["current"], result.counts["done"]) == (0, 6, 6)
    assert log(folder).count('"event":"chunk.done"') == 10 + 7
    await run(folder, SLOPE, out="plain")
    assert pixels(folder) == pixels(folder, "plain")


async def test_a_stage_that_is_gone_is_made_again(folder: Path) -> None:
    await run(folder, SLOPE, STORE, own(folder, bad=256))
    (file,) = work(folder)
    file.unlink()
    result = await run(folder, SLOPE, STORE, own(folder))
    assert (result.exit_code, result.items["published"]) == (0, 1)
    assert log(folder).count('"event":"chunk.done"') == 10 + 12


async def test_a_changed_step_before_it_makes_a_stage_anew(folder: Path) -> None:
    await run(folder, SLOPE, STORE, own(folder, bad=256))
    other = {"name": "slope", "unit": "percent"}
    result = await run(folder, other, STORE, own(folder))
    assert (result.exit_code, result.counts["current"], result.counts["done"]) == (0, 0, 12)


async def test_one_chunk_of_a_stage_is_computed_alone(folder: Path) -> None:
    loaded = job(folder, SLOPE, STORE, {"name": "tpi"})
    stage, last = compute(loaded, "a.tif@stage1:1,2"), compute(loaded, "a.tif@1,2")
    assert stage.window == last.window == (512, 256, 88, 44)
    with pytest.raises(ConfigError, match="1 stages"):
        compute(loaded, "a.tif@stage2:0,0")


async def test_undefined_results_are_counted_and_told(folder: Path) -> None:
    """In the item's facts, the result, the status and the log; in front of a stage and behind it,
    by one chunk or by several."""
    index = {"name": "calc", "calc": "b1 > 112 ? b1 / 0 : b1", "nodata": "-9"}
    with rasterio.open(folder / "a.tif") as dataset:
        count = int((dataset.read() > 112).sum())
    for out, steps in {"one": [index], "two": [index, STORE, SLOPE]}.items():
        for side, name in ((256, out), (1024, f"{out}-whole")):
            result = await geobatch_tui.run(job(folder, *steps, out=name, side=side))
            assert (result.exit_code, result.undefined_pixels) == (0, count)
            status = geobatch_tui.open_run(folder / name).status()
            assert status["undefined_pixels"] == count
            ledger = folder / name / ".geobatch" / "ledger.db"
            with LedgerReader(ledger) as reader:
                (item,) = reader.items()
                assert item.facts["undefined_pixels"] == count
                figures = reader.figures("undefined", item.first_chunk, item.n_chunks)
                assert sum(figures) == count
            told = (folder / name / ".geobatch" / "log.jsonl").read_text()
            assert f'"undefined_pixels":{count}' in told.replace('": ', '":')


async def test_a_stage_that_nobody_asked_for_changes_no_byte(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It avoids recomputation, and is said in the plan; the sources here are too small for it."""
    wide = {"name": "fill-nodata", "max_distance": 60}
    await geobatch_tui.run(job(folder, SLOPE, wide, out="without"))
    monkeypatch.setattr(recomputation, "FEW", 0)
    result = await geobatch_tui.run(job(folder, SLOPE, wide))
    assert result.exit_code == 0
    assert (folder / "out/a.tif").read_bytes() == (folder / "without/a.tif").read_bytes()
    assert any("reads so far beyond a chunk" in text for text in result.warnings)
    assert (result.counts["total"], work(folder)) == (12, [])

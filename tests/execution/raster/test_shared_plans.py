"""Plans of chains that items share: those that nothing but equal facts decide."""

from __future__ import annotations

import pytest
from chains import EXAMPLES, chain_item, raster, whole_of

from geobatch_tui.execution.raster import chain_probe
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps import chain

WARP = [EXAMPLES["reproject-bilinear"], EXAMPLES["hillshade"]]
SMALL = {"format": "GTiff", "creation": {"blocksize": 16}}


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


@pytest.fixture
def planned(monkeypatch):
    """Chains that were planned, as often as they were."""
    told, before = [], chain.plan_chain

    def spied(first, steps, *others, **how):
        told.append([step["name"] for step in steps])
        return before(first, steps, *others, **how)

    monkeypatch.setattr(chain, "plan_chain", spied)
    return told


def _plan(path, steps, **how):
    return chain_item(path, steps, **how).plan


def test_a_shared_plan_is_the_items_own(tmp_path, planned):
    """Behind another item with equal facts and other pixels, each step is planned as it would be
    alone; what looks at pixels is looked at again."""
    one, other = (raster(tmp_path / f"{n}.tif", seed=n) for n in (1, 2))
    shared = set()
    for name, step in EXAMPLES.items():
        chain_probe._shared.clear()
        alone = _plan(other, [step])
        chain_probe._shared.clear()
        _plan(one, [step])
        planned.clear()
        behind = _plan(other, [step])
        shared |= set() if planned else {name}
        for plan in (alone, behind):  # how long a look took is no fact
            for note in plan.notes.values():
                if isinstance(note, dict):
                    note.pop("seconds", None)
        assert behind == alone, name
    assert set(EXAMPLES) - shared == {"scale-own-range", "color-map", "proximity-far"}


def test_many_items_are_planned_once(tmp_path, planned):
    """And each gives its own pixels."""
    paths = [raster(tmp_path / f"{n}.tif", seed=n) for n in range(4)]
    items = [chain_item(path, WARP) for path in paths]
    assert planned == [["reproject", "hillshade"]]
    seen = {whole_of(item)[1].tobytes() for item in items}
    assert len(seen) == len(paths)


@pytest.mark.parametrize(
    "how",
    [
        {"size": (47, 42)},
        {"dtype": "int16"},
        {"validity": "none"},
        {"bands": 1},
    ],
)
def test_other_facts_are_planned_anew(tmp_path, planned, how):
    _plan(raster(tmp_path / "a.tif"), WARP)
    _plan(raster(tmp_path / "b.tif", **how), WARP)
    assert len(planned) == 2


@pytest.mark.parametrize(
    "how", [{"cols": 512, "rows": 512}, {"output": SMALL}, {"max_bytes": 400 * 2**20}]
)
def test_another_job_is_planned_anew(tmp_path, planned, how):
    path = raster(tmp_path / "a.tif")
    _plan(path, WARP)
    _plan(path, WARP, **how)
    _plan(path, [EXAMPLES["reproject-cubic"]])
    assert len(planned) == 3


def test_what_other_files_decide_is_looked_at_for_each_item(tmp_path, planned):
    """The raster whose area is cut out may change between two items."""
    like = raster(tmp_path / "like.tif", size=(20, 20))
    steps = [{"name": "clip", "like": str(like)}]
    paths = [raster(tmp_path / f"{n}.tif", seed=n) for n in range(2)]
    assert _plan(paths[0], steps).grid.width == 20
    raster(like, size=(24, 20))
    assert _plan(paths[1], steps).grid.width == 24


def test_few_plans_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(chain_probe, "MOST_SHARED", 2)
    for width in range(20, 25):
        _plan(raster(tmp_path / f"{width}.tif", size=(width, 20)), [EXAMPLES["hillshade"]])
        assert len(chain_probe._shared) <= 2

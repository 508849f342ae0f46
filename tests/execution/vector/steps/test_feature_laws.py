"""The two laws of steps on features: any cut gives the same, and a step may be stored or not."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import vectorjobs
from feature_chains import EXAMPLES, SECONDS, Opened, fitting, layer, planned, table_of
from pyproj import CRS

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.params.chain_params import VECTOR_STEP_PARAMS
from geobatch_tui.execution.vector.steps.feature_chain import FEATURE_STEPS


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return Opened.of(layer(tmp_path_factory.mktemp("laws") / "s.parquet"))


def test_every_step_has_parameters_and_an_example():
    """Nothing is left out of the laws."""
    named = {step["name"] for step in EXAMPLES.values()}
    assert set(FEATURE_STEPS) == set(VECTOR_STEP_PARAMS) == named


def _holds_on_a_part(opened, chain, given, whole):
    """Take some features through a chain, and compare them with what became of them among all."""
    count = len(given.owners)
    low, high = sorted(np.random.default_rng(count).integers(0, count + 1, 2).tolist())
    bare = replace(given, lost={}, gone=0, extra=0)
    part = opened.run(chain, bare.picked(np.arange(low, high)))
    chosen = given.owners[low:high]
    if len(set(given.owners.tolist())) == count:
        kept = np.flatnonzero(np.isin(whole.owners, chosen))
        assert part.owners.tolist() == whole.owners[kept].tolist()
        assert table_of(part).equals(table_of(whole).take(kept)), chain[-1].name
        rows = set(chosen.tolist()) - given.lost.keys()
        assert part.lost == {row: why for row, why in whole.lost.items() if row in rows}


@pytest.mark.parametrize("name", EXAMPLES)
def test_any_cut_gives_the_same_features(opened, name):
    """A step makes of a feature what it makes of it in any batch."""
    chain, given = opened.chain([EXAMPLES[name]]), opened.read()
    _holds_on_a_part(opened, chain, given.picked(np.arange(39)), opened.run(chain))


FIRSTS = {step["name"]: name for name, step in reversed(EXAMPLES.items())}


def _seconds(first):
    """An example of each step that may follow, of its ways another after another first step: in
    turn, so that each way follows several steps."""
    ways = {}
    for name in SECONDS:
        ways.setdefault(EXAMPLES[name]["name"], []).append(name)
    turn = list(FIRSTS.values()).index(first)
    return [names[turn % len(names)] for names in ways.values()]


@pytest.mark.parametrize("first", FIRSTS.values())
def test_a_step_may_be_stored_or_not_and_cut(opened, first, tmp_path):
    """Two steps in one pass give what two jobs give with a GeoParquet between them, and of some
    features what they give of all."""
    alone = opened.chain([EXAMPLES[first]])
    given = opened.run(alone)
    params = {"steps": [EXAMPLES[first]]}
    done = vectorjobs.run("vector.pipeline", opened.path, tmp_path / "out", params=params)
    stored = Opened.of(done.path)
    there = stored.read().picked(np.arange(len(given.owners)))
    for second in _seconds(first):
        both = fitting(first, second)
        fused, apart = planned(opened, both), planned(stored, both[1:])
        if isinstance(fused, type) or isinstance(apart, type):
            assert fused == apart, second
            continue
        whole = opened.run(fused[1:], given)
        assert table_of(whole).equals(table_of(stored.run(apart, there))), second
        crs, after = fused[-1].crs, apart[-1].crs
        assert (crs == after == "") or CRS(crs).equals(CRS(after), ignore_axis_order=True)
        _holds_on_a_part(opened, fused[1:], given, whole)


def test_a_table_is_not_stored_between_two_jobs(opened, tmp_path):
    """Rows without geometry become plain Parquet, which no job reads: only one pass takes them."""
    steps = [EXAMPLES["select-table"], EXAMPLES["make-point"]]
    out = tmp_path / "out"
    done = vectorjobs.run("vector.pipeline", opened.path, out, params={"steps": steps[:1]})
    with pytest.raises(GeobatchError, match="not GeoParquet"):
        Opened.of(done.path)
    made = opened.run(opened.chain(steps))
    assert len(made.owners) == 35
    assert set(made.lost) == {4, 15, 26, 37}  # of these, lat is null


def test_measures_are_stored_where_a_format_holds_them(opened, tmp_path):
    """GeoParquet has no M, so that a chain that ends in one has none either; a GeoPackage has."""
    steps = [{"name": "make-point", "x": "lon", "y": "lon", "m": "whole"}, EXAMPLES["swap-xy"]]
    for form, kind in (("GeoParquet", 1), ("GPKG", 2001)):
        fused = Opened.of(opened.path, form)
        made = fused.run(fused.chain(steps))
        assert set(made.shapes.kinds.tolist()) == {kind}
        done = vectorjobs.run(
            "vector.pipeline", opened.path, tmp_path / form, params={"steps": steps[:1]}, form=form
        )
        stored = Opened.of(done.path, form)
        apart = stored.run(stored.chain(steps[1:]))
        assert apart.shapes.column.equals(made.shapes.column)


CHAINS = {
    "roads": ["make-valid", "buffer-left", "simplify", "reproject"],
    "parts": ["make-valid-all", "explode-collections", "filter-bbox", "segmentize"],
    "points": ["select-table", "set-field-type", "make-point-z", "buffer"],
    "own": ["make-valid", "function-fewer", "function-table", "explode-collections"],
    "cut": ["filter-where", "clip-geometry", "set-geom-type-multi", "select-exclude"],
}


@pytest.mark.parametrize("form", ["GeoParquet", "GPKG"])
@pytest.mark.parametrize("name", CHAINS)
def test_any_chunks_give_the_same_bytes(opened, tmp_path, name, form, monkeypatch):
    """A published file does not depend on ``engine.chunk_features``, nor on the order of chunks."""
    monkeypatch.setenv("OGR_CURRENT_DATE", "1970-01-01T00:00:00.000Z")
    params = {"steps": [EXAMPLES[step] for step in CHAINS[name]]}
    digests = set()
    for n, (features, order) in enumerate([(0, 1), (10, -1)]):
        done = vectorjobs.run(
            "vector.pipeline", opened.path, tmp_path / str(n), params=params, form=form,
            features=features, order=order,
        )  # fmt: skip
        digests.add(hashlib.sha256(done.path.read_bytes()).hexdigest())
        assert done.receipt.facts["features_in"] == 39
    assert len(digests) == 1

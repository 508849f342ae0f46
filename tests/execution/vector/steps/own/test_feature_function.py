"""What functions of the user are given of features, and what becomes of their answers."""

from __future__ import annotations

import math
from textwrap import dedent

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely
import vectordata
import vectorjobs
from feature_chains import Opened, layer, table_of

from geobatch_tui.errors import GeobatchError, PreflightError, SchemaError, StepError
from geobatch_tui.execution.vector.plan import VectorPlan

HEAD = """
import geopandas as gpd
import pandas as pd
import pyarrow as pa
from geobatch_tui import step
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "s.parquet"
    numbers = [float("nan") if n % 4 == 0 else None if n % 4 == 1 else n / 2 for n in range(39)]
    flags = [None if n % 3 == 0 else n % 2 == 0 for n in range(39)]
    return Opened.of(layer(path, odd=pa.array(numbers), flag=pa.array(flags)))


@pytest.fixture
def own(tmp_path, opened):
    """Write a function ``f``, and take the features through it, or plan it alone."""

    def call(text, *, before=(), plan=False, **parameters):
        (tmp_path / "steps.py").write_text(HEAD + dedent(text))
        step = {"name": "function", "use": f"{tmp_path / 'steps.py'}:f", **parameters}
        chain = opened.chain([*before, step])
        return chain[-1] if plan else opened.run(chain)

    return call


@pytest.mark.parametrize("kind", ["gpd.GeoDataFrame", "pa.Table", '"gpd.GeoDataFrame"'])
def test_what_is_handed_on_is_what_was_given(own, opened, kind):
    """Nulls, NaN, dates, text, and the bytes of each geometry, whatever its type."""
    made = own(f"def f(features: {kind}): return features")
    assert table_of(made).schema.equals(table_of(opened.read()).schema)
    for name in table_of(made).column_names:
        pairs = (table_of(each)[name].to_pylist() for each in (made, opened.read()))
        assert list(map(repr, next(pairs))) == list(map(repr, next(pairs))), name


def test_types_of_columns_do_not_depend_on_the_values_of_a_batch(own):
    """A whole number beside a null is one."""
    made = own(
        """
        @step(fields={"kinds": "String"})
        def f(frame: gpd.GeoDataFrame):
            kinds = ",".join(str(kind) for kind in frame.drop(columns="geometry").dtypes)
            return frame.assign(kinds=kinds)
        """
    )
    assert set(table_of(made)["kinds"].to_pylist()) == {
        "Int32,Float64,Float64,string,string,date32[day][pyarrow],Float64,boolean"
    }


def test_what_it_asks_for_by_name_is_given(own):
    """The CRS and the item; parameters have their values or defaults."""
    made = own(
        """
        @step(fields={"told": "String"})
        def f(table: pa.Table, *, crs, item, sizes: list[int], deep: bool = False):
            return table.append_column("told", pa.repeat(f"{crs[:6]} {sizes} {deep}", len(table)))
        """,
        sizes=[1, 2],
    )
    assert set(table_of(made)["told"].to_pylist()) == {"GEOGCR (1, 2) False"}


def test_fields_are_learnt_from_the_first_features_and_told(tmp_path):
    """Of the source itself, as the item is planned; ids go with them."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gpkg")
    (tmp_path / "steps.py").write_text(
        HEAD + "@step(rows='fewer')\ndef f(frame: gpd.GeoDataFrame):\n"
        "    frame['size'] = frame.count_coordinates()\n"
        "    return frame.loc[frame['size'] > 0, ['size', 'geometry']]\n"
    )
    params = {"steps": [{"use": f"{tmp_path / 'steps.py'}:f"}]}
    planned = vectorjobs.probe("vector.pipeline", source, params=params, form="GPKG")
    (told,) = [each for each in planned.warnings if "declares no fields" in each]
    assert told.endswith("by the first features they are size (int32)")
    plan = VectorPlan.from_json(planned.detail)
    assert plan.fields == ("size",)
    assert planned.notes["unmeasured"]
    assert plan.id_is_key
    done = vectorjobs.run("vector.pipeline", source, tmp_path / "out", params=params, form="GPKG")
    assert gpd.read_file(done.path).columns.tolist() == ["size", "geometry"]


def test_an_answer_may_have_no_geometry_or_a_first_one(own):
    """What the first features show is pinned."""
    table = own(
        "def f(frame: gpd.GeoDataFrame): return pd.DataFrame(frame.drop(columns='geometry'))"
    )
    assert table.shapes.column.null_count == 39
    made = own(
        """
        @step(crs="EPSG:4326")
        def f(frame: gpd.GeoDataFrame):
            return gpd.GeoDataFrame(frame, geometry=gpd.points_from_xy(frame.lon, frame.lon), crs=4326)
        """,
        before=[{"name": "select", "fields": ["lon"]}],
    )
    assert shapely.from_wkb(made.shapes.column[1].as_py()).x == 8.1


def test_rows_are_known_by_their_index_in_any_order(own):
    """Fewer, more, and turned round."""
    fewer = own(
        """
        @step(rows="fewer")
        def f(frame: gpd.GeoDataFrame, *, least: int = 30):
            return frame[frame.whole >= least].sort_values("whole", ascending=False)
        """
    )
    assert fewer.owners.tolist() == list(range(30, 39))
    assert table_of(fewer)["whole"].to_pylist() == list(range(30, 39))
    assert fewer.gone == 30
    more = own(
        """
        @step(rows="more")
        def f(frame: gpd.GeoDataFrame):
            return pd.concat([frame[frame.whole > 36], frame[frame.whole == 38]])
        """
    )
    assert more.owners.tolist() == [37, 38, 38]
    assert (more.gone, more.extra) == (37, 1)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("@step(halo=1)\ndef f(t: pa.Table): return t", PreflightError, "halo of its @step is nothing"),
        ("@step(rows='all')\ndef f(t: pa.Table): return t", PreflightError, "'all', not one of same"),
        ("@step(fields={'a': 'Text'})\ndef f(t: pa.Table): return t", PreflightError, "has 'Text' for"),
        ("@step(fields={'a': None})\ndef f(t: pa.Table): return t", SchemaError, "leave out 'a', which is not"),
        ("@step(fields=3)\ndef f(t: pa.Table): return t", PreflightError, "is 3; it is types by"),
        ("@step(crs='EPSG:0')\ndef f(t: pa.Table): return t", PreflightError, "crs of "),
        ("@step(memory=-1)\ndef f(t: pa.Table): return t", PreflightError, "memory of its @step"),
        ("def f(t: gpd.GeoDataFrame): return t.to_crs(3857)", SchemaError, "in another CRS than"),
        ("def f(t: gpd.GeoDataFrame): return t.assign(x=None)", SchemaError, "no value for field 'x'"),
        ("def f(t: gpd.GeoDataFrame): return t.nope", SchemaError, "fails at each of the first 39"),
        ("def f(t: pa.Table): return t.rename_columns(['__fid', *t.column_names[1:]])", SchemaError,
         "a name that features have here"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_the_plan(own, text, error, says):
    """It names the function and what is wrong."""
    with pytest.raises(error) as caught:
        own(text, plan=True)
    assert says in caught.value.message
    assert "steps.py:f" in caught.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(block): return block", "annotate its first argument, as geopandas.GeoDataFrame or"),
        ("def f(t: pa.Table, *, window): return t", "window: Field required"),
    ],
)
def test_what_takes_no_features_is_refused_by_the_job(own, text, says):
    """Its signature says so."""
    with pytest.raises(ValueError, match=r"validation error") as caught:
        own(text, plan=True)
    assert says in str(caught.value).replace("\n  ", ": ")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("3", "gave int in place of a GeoDataFrame"),
        ("frame.reset_index(drop=True).rename(lambda n: str(n))", "index is not that of a feature"),
        ("frame.set_index(frame.index + 100)", "index is not that of a feature"),
        ("frame.assign(n=2.5)", "gave 2.5 for field 'n', which is int64 by the plan"),
        ("frame.assign(n='2')", "gave '2' for field 'n', which is int64 by the plan"),
        ("pd.DataFrame(frame.drop(columns='geometry'))", "gave no geometries"),
        ("frame.set_crs(3857, allow_override=True)", "in another CRS than the plan has of it"),
        ("frame.assign(g=frame.geometry)", "a second column of geometries, 'g'"),
        ("frame.assign(n=[print] * len(frame))", "column 'n' that no type of Arrow holds"),
        ("frame[[*frame.columns, 'n']]", "gave two columns of the name 'n'"),
        ("frame.iloc[:0]", 'gave 0 rows for 1 features; it declares rows="same"'),
    ],
)
def test_what_an_answer_is_not_sets_its_features_aside(own, answer, says):
    """Where it is right for the first features, and wrong for one behind them."""
    made = own(
        f"""
        @step(fields={{"n": "Integer64"}})
        def f(frame: gpd.GeoDataFrame):
            frame["n"] = 7
            return {answer} if (frame["whole"] == 20).any() else frame
        """
    )
    assert made.lost.keys() == {20}
    loss = made.lost[20]
    error, reason, stage = loss.error, loss.reason, loss.stage
    assert error == "StepError"
    assert says in reason
    assert stage.endswith("steps.py:f")
    assert table_of(made)["n"].to_pylist() == [7] * 38


def test_numbers_become_others_only_without_loss(own):
    """Where pandas makes doubles of whole numbers beside a null, they are whole again."""
    made = own(
        """
        @step(fields={"n": "Integer64", "x": "Real", "s": "String", "gone": "Integer"})
        def f(frame: gpd.GeoDataFrame):
            frame["n"] = frame["whole"].apply(lambda n: None if n == 3 else 2 * int(n))
            frame["x"] = frame["whole"]
            frame["s"] = ["a"] * len(frame)
            frame["gone"] = None
            return frame
        """
    )
    table = table_of(made)
    assert table["n"].to_pylist()[2:5] == [4, None, 8]
    assert table["x"].to_pylist()[2:5] == [2.0, 3.0, 4.0]
    assert table["gone"].null_count == 39


def test_a_geometry_that_geos_cannot_read_goes_aside_only_where_a_frame_is_made(tmp_path):
    """A table has its bytes."""
    line = shapely.to_wkb(shapely.LineString([(0, 0), (1, 0), (1, 1), (0, 1)]))
    broken = bytes([1, 3, 0, 0, 0, 1, 0, 0, 0]) + line[5:]  # a ring that is not closed
    good = shapely.to_wkb(shapely.Point(1, 2))
    seen = Opened.of(vectordata.raw(tmp_path / "s.parquet", [good, broken]))
    for kind, lost in (("gpd.GeoDataFrame", {1}), ("pa.Table", set())):
        (tmp_path / "steps.py").write_text(HEAD + f"def f(features: {kind}): return features")
        made = seen.run(seen.chain([{"use": f"{tmp_path / 'steps.py'}:f"}]))
        assert made.lost.keys() == lost


def test_a_source_without_features_is_planned(tmp_path, opened):
    """What it would give is not needed."""
    frame = gpd.GeoDataFrame({"a": np.zeros(0)}, geometry=[], crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    for body in ("frame.assign(b=None)", "frame.iloc[[0]]"):
        (tmp_path / "steps.py").write_text(HEAD + f"def f(frame: gpd.GeoDataFrame): return {body}")
        params = {"steps": [{"use": f"{tmp_path / 'steps.py'}:f"}]}
        assert vectorjobs.run("vector.pipeline", source, tmp_path / "out", params=params)
    (tmp_path / "steps.py").write_text(
        HEAD + "def f(frame: gpd.GeoDataFrame): return frame.iloc[[0]]"
    )
    steps = [{"name": "filter", "where": "whole < 0"}, {"use": f"{tmp_path / 'steps.py'}:f"}]
    assert opened.chain(steps)
    assert math.isfinite(len(steps))


def test_an_own_function_takes_what_it_writes_into(own, opened):
    """A frame is its own; what others see does not change."""
    text = """
        @step(fields={})
        def f(frame: gpd.GeoDataFrame):
            frame["whole"] = 0
            frame.iloc[:, 1] = 1.0
            return frame
        """
    made = own(text)
    assert set(table_of(made)["whole"].to_pylist()) == {0}
    assert opened.batch.column("whole").to_pylist() == list(range(39))
    assert issubclass(StepError, GeobatchError)

"""From source.inputs to items."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.errors import PreflightError
from geobatch_tui.orchestration.plan import inputs
from geobatch_tui.orchestration.plan.inputs import NAME_MAX, Input, _key, expand


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def keys(entries: list[Input]) -> list[str]:
    return [entry.key for entry in entries]


def test_directory_keeps_relative_paths(tmp_path: Path) -> None:
    """Two scenes of one name in two directories are two items."""
    touch(tmp_path / "in/a/x.tif")
    touch(tmp_path / "in/b/x.tif")
    touch(tmp_path / "in/b/readme.md")
    found = expand([str(tmp_path / "in")], tmp_path / "out", "COG")
    assert keys(found) == ["a/x.tif", "b/x.tif"]


def test_glob_is_relative_to_its_fixed_part(tmp_path: Path) -> None:
    """The fixed directories of a pattern are not repeated below the output."""
    touch(tmp_path / "in/2024/x.jp2")
    found = expand([str(tmp_path / "in/*/*.jp2")], tmp_path / "out", "GTiff")
    assert keys(found) == ["2024/x.tif"]


def test_list_file_names_are_relative_to_the_list(tmp_path: Path) -> None:
    """A list may lie beside its files; blank lines and comments are skipped."""
    scene = touch(tmp_path / "scenes/a.tif")
    listing = tmp_path / "scenes/list.txt"
    listing.write_text("# mine\n\na.tif\n")
    assert expand([f"@{listing}"], tmp_path / "out", "COG") == [Input(str(scene), "a.tif")]


def test_missing_file_stays_an_input(tmp_path: Path) -> None:
    """A file that is gone becomes a dead letter, so it must reach the planner."""
    assert keys(expand([str(tmp_path / "gone.tif")], tmp_path / "out", "COG")) == ["gone.tif"]


def test_a_dangling_link_stays_an_input(tmp_path: Path) -> None:
    """In a directory and in a glob: what it leads to is missing, which is to be told. So is a pipe,
    which is refused when it is looked at."""
    (tmp_path / "in/folder.tif").mkdir(parents=True)
    (tmp_path / "in/a.tif").symlink_to(tmp_path / "gone.tif")
    os.mkfifo(tmp_path / "in/b.tif")
    for entry in ("in", "in/*.tif"):
        found = expand([str(tmp_path / entry)], tmp_path / "out", "COG")
        assert keys(found) == ["a.tif", "b.tif"]


def test_a_pipe_is_an_input_also_where_content_decides(tmp_path: Path) -> None:
    """Nobody waits for what a pipe would say; its probe refuses it."""
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in/a.json")
    (tmp_path / "in/b.sqlite").symlink_to(tmp_path / "gone.sqlite")
    (tmp_path / "in/c.json").write_text("{}")
    found = expand([str(tmp_path / "in")], tmp_path / "out", "GPKG")
    assert keys(found) == ["a.json.gpkg", "b.sqlite.gpkg"]


def test_a_list_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a regular file, no larger than a list of a million files."""
    os.mkfifo(tmp_path / "pipe")
    for endless in ("/dev/zero", str(tmp_path / "pipe"), str(tmp_path)):
        with pytest.raises(PreflightError, match="cannot read the list"):
            expand([f"@{endless}"], tmp_path / "out", "COG")
    monkeypatch.setattr(inputs, "LIST_MAX", 10)
    (tmp_path / "list").write_text("a.tif\n" * 2)
    with pytest.raises(PreflightError, match="larger than"):
        expand([f"@{tmp_path / 'list'}"], tmp_path / "out", "COG")


def test_the_refusal_of_a_url_shows_no_secret(tmp_path: Path) -> None:
    """Passwords, tokens and signatures stand in URLs."""
    url = "https://bob:hunter2@host/a.tif?sig=abc123&token=xyz789"
    (tmp_path / "list").write_text(f"{url}\n")
    for entry in (url, f"@{tmp_path / 'list'}"):
        with pytest.raises(PreflightError, match="https://") as caught:
            expand([entry], tmp_path / "out", "COG")
        assert not {"hunter2", "abc123", "xyz789"} & set(re.findall(r"\w+", str(caught.value)))


def test_a_geodatabase_is_one_input(tmp_path: Path) -> None:
    """A directory with that suffix, named, found in another, or by a pattern; not its files. Jobs of
    rasters look into it, as into any directory."""
    touch(tmp_path / "in/a/x.gdb/a00000001.gdbtable")
    touch(tmp_path / "in/a/x.gdb/gdb.csv")
    touch(tmp_path / "in/b.tif")
    for entry in ("in/a/x.gdb", "in/a", "in/**/*", "in/a/*.gdb"):
        found = expand([str(tmp_path / entry)], tmp_path / "out", "GPKG")
        paths = [one.path for one in found if not one.path.endswith(".tif")]
        assert paths == [str(tmp_path / "in/a/x.gdb")]
        assert found[0].key.endswith("x.gpkg")
    touch(tmp_path / "in/a/x.gdb/c.tif")
    found = expand([str(tmp_path / "in")], tmp_path / "out", "COG")
    assert keys(found) == ["b.tif", "a/x.gdb/c.tif"]


def test_json_and_sqlite_in_a_directory(tmp_path: Path) -> None:
    """Taken where they begin as vectors; their outputs keep the whole name, as others beside them
    may have the rest of it."""
    (tmp_path / "in").mkdir()
    contents = {
        "a.json": b'{"type": "FeatureCollection", "features": []}',
        "b.json": b'{ "name": "x", "features": [{"type":"Feature"}]}',
        "c.JSON": b'{"type":"MultiPolygon","coordinates":[]}',
        "d.json": b'{"type": "module", "name": "no vector"}',
        "e.sqlite": b"SQLite format 3\0",
        "f.sqlite": b"",
        "a.geojson": b"",
    }
    for name, content in contents.items():
        (tmp_path / "in" / name).write_bytes(content)
    found = expand([str(tmp_path / "in")], tmp_path / "out", "GPKG")
    wanted = ["a.gpkg", "a.json.gpkg", "b.json.gpkg", "c.JSON.gpkg", "e.sqlite.gpkg"]
    assert keys(found) == wanted


def test_outputs_are_no_inputs(tmp_path: Path) -> None:
    """A second run over a directory does not eat the first one's outputs."""
    touch(tmp_path / "a.tif")
    touch(tmp_path / "out/a.tif")
    assert keys(expand([str(tmp_path)], tmp_path / "out", "COG")) == ["a.tif"]


def test_brackets_in_an_existing_name_are_no_pattern(tmp_path: Path) -> None:
    """A file whose name looks like a glob is that file."""
    scene = touch(tmp_path / "scene[1].tif")
    assert expand([str(scene)], tmp_path / "out", "COG") == [Input(str(scene), "scene[1].tif")]


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    """An invalid UTF-8 name reaches the output name byte for byte."""
    raw = os.fsencode(tmp_path) + b"/caf\xe9.tif"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    (found,) = expand([str(tmp_path)], tmp_path / "out", "COG")
    assert os.fsencode(found.key) == b"caf\xe9.tif"


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (("a.tif", "a.tiff"), "COG"),
        (("A.tif", "a.tif"), "COG"),
        (("é.tif", "e\u0301.tif"), "COG"),
        (("a.gpkg", "a.fgb"), "GeoParquet"),
        (("a.shp", "A.geojson"), "Shapefile"),
    ],
)
def test_colliding_outputs_are_refused(tmp_path: Path, names: tuple[str, str], form: str) -> None:
    """Two inputs may not share an output name, nor differ by case or normal form alone."""
    for name in names:
        touch(tmp_path / name)
    with pytest.raises(PreflightError, match="collide"):
        expand([str(tmp_path / name) for name in names], tmp_path / "out", form)


def test_output_over_its_input_is_refused(tmp_path: Path) -> None:
    """No job may replace what it reads."""
    scene = touch(tmp_path / "a.tif")
    with pytest.raises(PreflightError, match="own output"):
        expand([str(scene)], tmp_path, "COG")


def test_nothing_matched_is_refused(tmp_path: Path) -> None:
    """No input is a usage error, not a success with nothing done."""
    with pytest.raises(PreflightError, match="no input matched"):
        expand([str(tmp_path / "*.tif")], tmp_path / "out", "COG")


def test_the_same_file_twice_is_one_item(tmp_path: Path) -> None:
    """A file named by itself and by a glob is processed once."""
    scene = touch(tmp_path / "a.tif")
    assert len(expand([str(scene), str(tmp_path / "*.tif")], tmp_path / "out", "COG")) == 1


@given(st.binary(min_size=1, max_size=300).filter(lambda raw: not set(raw) & {0, 0x2F}))
def test_output_names_fit_the_filesystem(raw: bytes) -> None:
    """Whatever the input is called, the output name is at most 255 bytes and ends in .tif."""
    name = os.fsdecode(raw)
    if Path(name).name != name or name in {".", ".."}:
        return
    key = os.fsencode(_key(name, ".tif"))
    assert len(key) <= NAME_MAX
    assert key.endswith(b".tif")

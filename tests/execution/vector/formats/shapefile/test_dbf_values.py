"""Texts in the table of a Shapefile that are no values of their fields: OGR makes some of them."""

from __future__ import annotations

import itertools
import zipfile

import geopandas as gpd
import numpy as np
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.execution.vector.formats.shapefile import dbf_table

#: Width, decimals and type of a field; texts that are fine; and texts that are not.
FIELDS = {
    "whole number": ("N", 10, 0, ["12", "", "**********", "*", "-5", "7.", "+8.00"],
              ["abc", "1x2", "1.5", "1e3", "1,5", "1 2", "-", ".", "nan", "12345678*"]),
    "number": ("F", 12, 3, ["1.5", "", "*", "-.5", "1.25e+003", "nan", "-inf", "3"],
               ["abc", "1,5", "1d3", "1.2.3", "1e", "--5", "0x10", "N/A"]),
    "day": ("D", 8, 0, ["20240229", "19001231", "", "0", "00000000"],
            ["20230229", "20201301", "20200431", "2020-1-1", "20200100", "abcdefgh", "2020"]),
    "yes or no": ("L", 1, 0, ["T", "f", "y", "N", "?", "", "0"], ["X", "1"]),
}  # fmt: skip


def write(path, kind, width, decimals, texts):
    """A Shapefile of points with a field ``n``, and one of these texts, to the right or left."""
    shapes = [shapely.Point(n, 1) for n in range(len(texts))]
    vectordata.write(gpd.GeoDataFrame({"n": range(len(texts))}, geometry=shapes, crs=4326), path)
    fields = b"".join(
        name.ljust(11, b"\0") + code.encode() + bytes(4) + bytes([size, some]) + bytes(14)
        for name, code, size, some in ((b"n", "N", 4, 0), (b"v", kind, width, decimals))
    )
    rows = b"".join(
        f" {n:4}{text:>{width}}".encode() if n % 2 else f" {n:4}{text:<{width}}".encode()
        for n, text in enumerate(texts)
    )
    sizes = (len(texts), 65 + 32, 1 + 4 + width)
    head = bytes([3, 120, 1, 1]) + b"".join(
        one.to_bytes(size, "little") for one, size in zip(sizes, (4, 2, 2), strict=True)
    )
    path.with_suffix(".dbf").write_bytes(head + bytes(20) + fields + b"\r" + rows + b"\x1a")
    return path


#: Each field with and without a condition, and packed or not; and each of these with the other.
CASES = [
    (name, where, bool(packed) == bool(n % 2))
    for n, name in enumerate(FIELDS)
    for packed, where in enumerate(("", "n <> 1"))
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "where", "packed"), CASES)
def test_texts_that_are_no_values(name, where, packed, tmp_path):
    """Each is set aside; what OGR takes for null is null."""
    kind, width, decimals, fine, wrong = FIELDS[name]
    (tmp_path / "s").mkdir()
    source = write(tmp_path / "s" / "s.shp", kind, width, decimals, [*fine, *wrong])
    if packed:
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            for each in source.parent.iterdir():
                archive.write(each, each.name.upper())
        source = tmp_path / "s.zip"
    params = {"where": where}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, features=4)
    first = len(fine) - bool(where)
    assert [(one.position, one.reason) for one in done.letters] == [
        (first + n, f"its field 'v' has {text!r}, which is no {name}: OGR reads another")
        for n, text in enumerate(wrong)
    ]
    made = [n for n in range(len(fine)) if not where or n != 1]
    assert vectordata.read(done.path).n.tolist() == made
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "n", params={**params, "columns": ["n"]}
    )
    assert not done.letters


def test_values_are_those_of_the_table(tmp_path):
    """Also the text of another encoding, and in fields behind it."""
    frame = vectordata.layer(300)
    frame["größe"] = frame.pop("real")
    source = vectordata.write(frame, tmp_path / "s.shp", encoding="ISO-8859-1")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=70)
    assert not done.letters
    made = vectordata.read(done.path)
    assert made.whole.tolist() == frame.whole.tolist()
    assert made["größe"].tolist() == pytest.approx(frame["größe"].tolist())
    assert str(made.day[3]) == "2020-01-04"


@pytest.mark.parametrize("end", [b"\n", b"\0", b""])
def test_a_head_that_ends_otherwise(end, tmp_path):
    """As OGR reads it, by the length that it says of itself."""
    source = write(tmp_path / "s.shp", "N", 10, 0, ["1", "1x", "12"])
    table = source.with_suffix(".dbf")
    raw = bytearray(table.read_bytes())
    raw[96:97] = end
    raw[8] -= not end
    table.write_bytes(raw)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert [one.position for one in done.letters] == [1]
    assert vectordata.read(done.path).v.tolist() == [1, 12]


def test_a_text_ends_at_its_first_zero_byte(tmp_path):
    """As C reads it; where more than blanks stand behind it, the feature is set aside."""
    texts = [
        "1",
        "12\0\0",
        "\0" * 10,
        "12\0 \0",
        "1\0002",
        "4\00011",
        "\0 12",
        "12\0\0abc",
        "-1\0.5",
    ]
    source = write(tmp_path / "s.shp", "N", 10, 0, texts)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert [one.position for one in done.letters] == [4, 5, 6, 7, 8]
    assert "has '1\\x002', which is no whole number" in done.letters[0].reason
    assert vectordata.read(done.path).v.fillna(-1).tolist() == [1, 12, -1, 12]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["whole number", "number"])
def test_what_is_plain_at_a_quick_look_is_a_number(kind, width):
    """Whatever stands in the field."""
    for text in map("".join, itertools.product("12 -+.e*x\0", repeat=width)):
        column = np.frombuffer(text.encode(), np.uint8).reshape(1, width)
        if dbf_table._are_plain(column, dbf_table._PLAIN[kind]):
            own = text.strip()
            assert not own or float(own) == (int(own) if kind == "whole number" else float(own))

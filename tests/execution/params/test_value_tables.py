"""Mappings and colour maps, as users write them, and the parameters that hold them."""

from __future__ import annotations

import math
import os

import pytest
from pydantic import ValidationError

from geobatch_tui.execution.params.chain_params import RasterChain
from geobatch_tui.execution.params.value_tables import (
    MOST_BYTES,
    ColourStop,
    colour_entries,
    mapping_text,
    parse_mapping,
    read_text,
)


def checked(**step):
    """The parameters of one step."""
    return RasterChain.model_validate({"steps": [step]}).steps[0]


def refused(**step):
    """Why a step is refused."""
    with pytest.raises(ValidationError) as caught:
        checked(**step)
    return str(caught.value)


def test_the_grammar_of_mappings():
    """Values, intervals open or closed at each end, infinities, NO_DATA, NAN and DEFAULT, in any
    case and order."""
    mapping = parse_mapping("(5, 7.5] = 3;-inf=1; [8,inf)=-2e1 ;no_data=NO_DATA; nan=nan;default=0")
    assert [one.target for one in mapping.intervals] == [1, 3, -20]
    first, second, third = mapping.intervals
    assert (first.low, first.high) == (-math.inf, -math.inf)
    assert (second.low, second.high) == (math.nextafter(5, 6), 7.5)
    assert (third.low, third.high) == (8, math.nextafter(math.inf, 0))
    assert (mapping.nodata, mapping.default) == ("NO_DATA", 0)
    assert math.isnan(mapping.nan)
    assert parse_mapping("1=PASS_THROUGH").default is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mapping is empty"),
        (";;", "mapping is empty"),
        ("1", "'1' has no ="),
        ("1=", "ends in no number"),
        ("1=abc", "ends in no number"),
        ("x=1", "begins with no value"),
        ("0x1=1", "begins with no value"),
        ("[1,2=1", "begins with no value"),
        ("[2,1]=1", "no value lies in the interval of '\\[2,1\\]=1'"),
        ("(1,1)=1", "no value lies in the interval"),
        ("[nan,1]=1", "begins with no value"),
        ("1=2;1=3", "'1=2' and '1=3' share values"),
        ("[0,5]=1;[5,9]=2", "share values"),
        ("DEFAULT=1;default=2", "DEFAULT is there twice"),
        (";".join(f"{n}=1" for n in range(65537)), "65537 entries; 65536 are the most"),
    ],
)
def test_mappings_that_are_none(text, said):
    """The entry is named."""
    with pytest.raises(ValueError, match=said):
        parse_mapping(text)


def test_a_mapping_in_a_file(tmp_path):
    """A line is an entry, comments begin with #; the text is in the parameters, not the name, so
    that it alone makes outputs stale."""
    file = tmp_path / "classes.txt"
    file.write_text("\ufeff# classes\n 1 = 2 # one\n\n(3,4] = 5;\nDEFAULT = NO_DATA", "utf-8")
    step = checked(name="reclassify", mapping=f"@{file}")
    assert step.mapping == "1 = 2; (3,4] = 5; DEFAULT = NO_DATA"
    assert checked(name="reclassify", m="1=2").mapping == "1=2"
    assert mapping_text("1=2") == "1=2"


def test_files_that_hold_no_table(tmp_path):
    """Not there, no regular file, too large, of bytes that are no text: said before anything
    runs."""
    assert "No such file" in refused(name="reclassify", mapping=f"@{tmp_path / 'none'}")
    assert "no regular file" in refused(name="reclassify", mapping=f"@{tmp_path}")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "no regular file" in refused(name="color-map", color_map=str(pipe))
    large = tmp_path / "large"
    large.write_bytes(b"1" * (MOST_BYTES + 1))
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        read_text(str(large))
    utf16 = tmp_path / "utf16"
    utf16.write_text("0 red", "utf-16")
    assert "not in UTF-8, at byte 0" in refused(name="color-map", color_map=str(utf16))
    empty = tmp_path / "empty"
    empty.write_text("# nothing\n")
    assert f"color_map: {empty}: it has no colour" in refused(
        name="color-map", color_map=str(empty)
    )


def test_the_lines_of_colour_maps():
    """Values, shares and nv; names and numbers; alpha; commas, colons and tabs; comments."""
    text = "# x\n/ y\n\n1.5 red\n-2e3,1,2,3\n50%:4:5:6:7\nnv\t9 9 9\nNaN Grey 12\n"
    assert colour_entries(text) == (
        ("1.5", 255, 0, 0, 255), ("-2000.0", 1, 2, 3, 255), ("50.0%", 4, 5, 6, 7),
        ("nv", 9, 9, 9, 255), ("nan", 191, 191, 191, 12),
    )  # fmt: skip
    stop = ColourStop.of(("50.0%", 4, 5, 6, 7))
    assert (stop.kind, stop.value, stop.colour) == ("share", 0.5, (4, 5, 6, 7))
    gmt = "# COLOR_MODEL = RGB\n0\t1/2/3\t5\t4/5/6\tL\n5 7 8 9 10 11 12 13\nN 1 1 1\nF 2 2 2\n"
    assert [entry[0] for entry in colour_entries(gmt)] == ["0.0", "5.0", "5.0", "10.0", "nv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 1 1", "line 1, '0 1 1': a value is followed by red, green and blue"),
        ("0 red\n1 pink", "line 2, '1 pink'"),
        ("high red", "'high' is no number"),
        ("0 256 0 0", "'256' is no part of a colour"),
        ("0 1.5 0 0", "'1.5' is no part of a colour"),
        ("0 -1 0 0", "'-1' is no part"),
        ("120% red", "from 0% to 100%"),
        ("% red", "'' is no number"),
        ("# COLOR_MODEL = HSV\n0 1 1 1 2 1 1 1", "by HSV; only RGB is read"),
        ("# COLOR_MODEL = RGB\n0 1 2 3", "two values with three colours each"),
        ("", "has no colour"),
    ],
)
def test_colour_maps_that_are_none(text, said):
    """The line is named; gdaldem takes some of these for 0."""
    with pytest.raises(ValueError, match=said):
        colour_entries(text)


def test_ranges_have_two_ends():
    """Both or none; finite; and a power above 0."""
    assert "input_min and input_max are given both" in refused(name="scale", input_min=1)
    assert "output_min and output_max are given both" in refused(name="scale", dst_max=1)
    assert "exponent" in refused(name="scale", exponent=0)
    assert "finite" in refused(name="scale", input_min="inf", input_max=3)
    step = checked(name="scale", src_min=1, src_max=2, ot="Byte")
    assert (step.input_min, step.input_max, step.output_data_type) == (1, 2, "byte")

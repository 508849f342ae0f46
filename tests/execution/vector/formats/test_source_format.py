"""The formats of sources: each driver has one, and each keeps to the protocol."""

from __future__ import annotations

import inspect

import pytest

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.formats.source_format import (
    FORMATS,
    OpenLayer,
    SourceFormat,
    format_of,
)
from geobatch_tui.execution.vector.ogr import archive, ogr_drivers

HEADS = (b"SQLite format 3\0", b"fgb\x03fgb", b"PAR1", b"\0\0'\n")


def test_each_driver_that_may_open_a_source_has_a_format():
    """A newcomer who adds a driver is told where its format is named."""
    named = [*ogr_drivers._TEXT.values(), *archive._DRIVERS.values()]
    named += [ogr_drivers._by_magic(head) for head in HEADS]
    assert {driver for some in named for driver in some} == set(FORMATS)


@pytest.mark.parametrize("driver", FORMATS)
def test_a_format_overrides_what_is_asked_and_nothing_else(driver):
    """A method with a slip in its name, or other arguments, would never be called, or fail late."""
    for kind in type(format_of(driver)).__mro__[: -len(SourceFormat.__mro__)]:
        for name, made in vars(kind).items():
            if name.startswith("_") or name in {"reader", "is_sequence"}:
                continue
            asked = getattr(SourceFormat, name)
            if callable(asked):
                assert list(inspect.signature(made).parameters) == list(
                    inspect.signature(asked).parameters
                ), name


def test_a_driver_without_a_format_is_read_as_ogr_reads_it():
    """As a mask may be of any driver that is allowed."""
    form = format_of("TopoJSON")
    layer = OpenLayer("s", "s", "layer", {"driver": "TopoJSON", "features": 7, "measured": True})
    assert type(form) is SourceFormat
    assert form.count(layer, "n > 1").read == 7
    assert form.columns("", ["n"]) == ["n"]
    assert form.columns("n > 1", ["n"]) is None
    assert form.is_measured(layer)
    with pytest.raises(SchemaError, match=r"op\.encoding is for Shapefiles; TopoJSON"):
        form.encoding(layer, "CP1252")

from __future__ import annotations

import pytest

from geobatch_tui.cli.display import figures


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (3 << 30, "3.0 GiB"),
        (1 << 60, "1024.0 PiB"),
    ],
)
def test_size(count, text):
    """Bytes are shown with a binary unit."""
    assert figures.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (59.4, "59 s"), (187, "3:07"), (7509, "2:05:09")],
)
def test_duration(seconds, text):
    """Durations grow from seconds to hours."""
    assert figures.duration(seconds) == text


def test_rates_are_told_in_what_was_counted():
    """Pixels or features beside chunks; what is 0, or not known, is left out."""
    assert figures.rates({"chunks_per_s": 25.54, "mpx_per_s": 41.26}) == "25.5 chunks/s, 41.3 Mpx/s"
    assert figures.rates({"features_per_s": 12_345.6}) == "12,346 features/s"
    assert figures.rates({"chunks_per_s": 0.0}) == figures.rates({}) == ""


def test_words_quote_for_a_shell():
    """A command that is shown can be pasted, whatever the path holds."""
    assert (
        figures.words("geobatch retry", "my out; rm -rf x") == "geobatch retry 'my out; rm -rf x'"
    )
    assert figures.words("geobatch retry", "a\x1b[2J") == "geobatch retry $'a\\033[2J'"

"""What a server means by ``Retry-After``, and that it is asked only where it can tell."""

from datetime import UTC, datetime

import pytest
from object_server import served

from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.stores.retry_after import LONGEST, seconds_asked, seconds_of

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("9" * 400, 0.0),
        ("99999999999", LONGEST),
        ("Mon, 30 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 30 Nov 2026 11:00:30 GMT", 0.0),
        ("soon", 0.0),
        ("1e3", 0.0),
        ("\u0663", 0.0),
    ],
)
def test_seconds_and_dates(told, seconds):
    """Anything else is no pause."""
    assert seconds_of(told, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(("status", "seconds"), [("429", 9.0), ("503", 9.0), ("500", 0.0)])
def test_a_server_is_asked(status, seconds):
    """By one request for headers alone; a pause belongs to two answers only."""
    with served(**{"a b%.tif": b"x"}) as objects:
        objects.retry_after = "9"
        objects.fault = lambda *_: status
        assert seconds_asked(ObjectUrl.of(objects.url("a%20b%25.tif"))) == seconds
        assert objects.seen == [("HEAD", "a b%.tif", "")]
    assert seconds_asked(ObjectUrl.of(objects.url("a"))) == 0.0  # it is gone


def test_buckets_are_not_asked():
    """Their requests are signed."""
    assert seconds_asked(ObjectUrl.of("s3://bucket/a.tif")) == 0.0

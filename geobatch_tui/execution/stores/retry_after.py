"""How long a server wants to be left alone: its ``Retry-After``.

The client library keeps the headers of failed answers to itself. So a server that asks to slow down
is asked once more, for nothing but its headers, by Python's own client. Buckets are not: their
requests are signed, and their stores say nothing of the kind.
"""

from __future__ import annotations

import contextlib
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.object_url import BUCKETS

if TYPE_CHECKING:
    from geobatch_tui.execution.stores.object_url import ObjectUrl

#: Seconds that the question may take.
TIMEOUT = 5.0
#: The longest pause that is believed: a day.
LONGEST = 86_400.0
_SLOWED = frozenset({429, 503})


def seconds_asked(url: ObjectUrl) -> float:
    """Return for how many seconds the server of ``url`` wants no request; 0: it does not say, or
    nobody can ask it."""
    stores = store_settings.current()
    if url.scheme in BUCKETS or stores.proxy:
        return 0.0
    import http.client
    import ssl

    settings = stores.of(url.root)
    headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(url.host, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(url.host, timeout=TIMEOUT)
    with contextlib.closing(connection):
        try:
            query = stores.query_of(str(url))
            target = f"/{quote(url.key)}" + (f"?{query}" if query else "")
            connection.request("HEAD", target, headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException):
            return 0.0
        told = answer.getheader("Retry-After", "") if answer.status in _SLOWED else ""
    return seconds_of(told, datetime.now(UTC))


def seconds_of(told: str, now: datetime) -> float:
    """Return the seconds that a ``Retry-After`` means: a number of them, or a date; 0 for what is
    neither."""
    try:
        if told.isascii() and told.strip().isdecimal():
            seconds = float(told)
        else:
            from email.utils import parsedate_to_datetime

            then = parsedate_to_datetime(told)
            seconds = (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST) if math.isfinite(seconds) else 0.0

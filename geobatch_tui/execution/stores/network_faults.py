"""Errors of stores and of networks, in our own classes: what is to be done about each.

The client tells a status in the first line of its message only. What it says beyond that line is
its own debug output, which may hold a whole answer, and goes nowhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from geobatch_tui.errors import (
    AuthExpiredError,
    CorruptSourceError,
    GeobatchError,
    InvalidInputError,
    RemoteIOError,
    SourceChangedError,
    SourceNotFoundError,
    ThrottledError,
    UnsafeInputError,
)
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from geobatch_tui.execution.stores.object_url import ObjectUrl

_STATUS = re.compile(r"status code: (\d{3})")
_EXPIRED = re.compile(r"ExpiredToken|TokenExpired|RequestExpired|has expired", re.IGNORECASE)
_SLOW = re.compile(r"SlowDown|TooManyRequests|RequestLimitExceeded", re.IGNORECASE)
_REGION = re.compile(r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocation")
_CREDENTIALS = re.compile(
    r"InvalidAccessKeyId|SignatureDoesNotMatch|credential|metadata/", re.IGNORECASE
)
_ODD_KEY = re.compile(r'(?:parsing )?Path "(.*?)"(?::| contained)', re.DOTALL)
_CERTIFICATE = re.compile(r"(?:invalid peer certificate: |InvalidCertificate\(\s*)(\w+)")
#: Kinds of the client's own errors of connections.
_KIND = re.compile(r"kind: (Timeout|Connect|Interrupted|Decode|Request)")
_WORDS = {
    "Timeout": "it did not answer in time",
    "Connect": "it cannot be reached",
    "Interrupted": "the connection broke in the middle of an answer",
}
_ASK = (
    "a store answers so too where an object is missing and listing is forbidden; set anonymous = "
    'true in [storage."{root}"] for public data, or give credentials'
)
#: Status of a pause that the store asks for.
_THROTTLED = frozenset({429, 503})


class RangesRefusedError(InvalidInputError):
    """The server gives objects only whole."""


def fault(error: Exception, url: ObjectUrl) -> GeobatchError:
    """Return the error of our own tree for one of the client."""
    if isinstance(error, GeobatchError):
        return error
    text = str(error)
    found = _STATUS.search(text)
    status = int(found[1]) if found else _status_of(error)
    if status:
        return _by_status(status, text, url)
    refused = _by_client(error, text, shown(str(url)))
    if refused is not None:
        return refused
    if _CREDENTIALS.search(text):
        told = "no credentials were found that sign requests"
        return SourceNotFoundError(f"{shown(str(url))}: {told}", hint=_ask(url))
    kind = _KIND.search(text)
    named = kind[1] if kind else ""
    told, hint = _WORDS.get(named, "the connection failed"), "it is tried again"
    if named == "Connect":
        told, hint = _unreachable(text, told, hint)
    broken = RemoteIOError(f"{shown(str(url))}: {url.host}: {told}", hint=hint)
    if named == "Timeout":
        broken.evidence = {"slow": True}
    return _away(broken, url) if named == "Connect" else broken


def _unreachable(text: str, told: str, hint: str) -> tuple[str, str]:
    """Say why no connection came about, if it is known, and what to do."""
    if "dns error" in text:
        return "no address is known for this name", "check the name, and this machine's DNS"
    if found := _CERTIFICATE.search(text):
        return (
            f"its certificate is not trusted ({safe(found[1])})",
            "check the clock, and that the system trusts who signed it",
        )
    return told, hint


def still_away(url: ObjectUrl, pause: float) -> GeobatchError:
    """Return the error for a request that is not made: its host failed, or wants a pause."""
    where = f"{shown(str(url))}: {url.host}"
    if pause:
        throttled = ThrottledError(f"{where} asks for a pause of {pause:.0f} s", retry_after=pause)
        return _away(throttled, url)
    return _away(RemoteIOError(f"{where}: it failed a moment ago"), url)


def _away(error: GeobatchError, url: ObjectUrl) -> GeobatchError:
    """Say that it is the store that fails and no object of it: the run pauses until it answers."""
    error.evidence = {"store": url.root}
    return error


def _by_client(error: Exception, text: str, where: str) -> GeobatchError | None:
    """Return the error for what the client itself refuses; None for what a network did."""
    if type(error).__name__ == "NotSupportedError":
        return RangesRefusedError(f"{where}: the server gives no parts of objects")
    if odd := _ODD_KEY.search(text):  # also of one key among thousands that are listed
        return UnsafeInputError(
            f"{where}: the client of stores does not take the key {shown(odd[1])[:300]!r}",
            hint="rename that object, or name the others in a text file, @list.txt",
        )
    if isinstance(error, ValueError):
        return UnsafeInputError(f"{where}: the client of stores does not take this key")
    return None


def _status_of(error: Exception) -> int:
    """Return the status that the client has a class of its own for; 0: none."""
    if isinstance(error, FileNotFoundError):
        return 404
    named = {"PreconditionError": 412, "PermissionDeniedError": 403, "UnauthenticatedError": 401}
    return named.get(type(error).__name__, 0)


def _by_status(status: int, text: str, url: ObjectUrl) -> GeobatchError:
    where = shown(str(url))
    if status == 404:
        return SourceNotFoundError(f"{where}: there is no such object (404)", hint="check the URL")
    if status in {412, 416}:
        return changed(url)
    if _EXPIRED.search(text):
        return AuthExpiredError(f"{where}: the credentials have expired ({status})")
    if status in _THROTTLED or _SLOW.search(text):
        return _away(ThrottledError(f"{where}: {url.host} asks to slow down ({status})"), url)
    if status >= 500 or status == 408:
        return RemoteIOError(f"{where}: {url.host} answers {status}", hint="it is tried again")
    return _refusal(status, text, url)


def _refusal(status: int, text: str, url: ObjectUrl) -> GeobatchError:
    where = shown(str(url))
    if _REGION.search(text) or 300 <= status < 400:
        return InvalidInputError(
            f"{where}: the bucket is in another region ({status})",
            hint=f'set region in [storage."{url.root}"]',
        )
    if status in {401, 403}:
        refused = SourceNotFoundError(
            f"{where}: reading it is forbidden ({status})", hint=_ask(url)
        )
        refused.evidence = {"status": status}
        return refused
    return InvalidInputError(f"{where}: {url.host} answers {status}")


def _ask(url: ObjectUrl) -> str:
    return _ASK.format(root=url.root)


def changed(url: ObjectUrl) -> SourceChangedError:
    """Return the error for an object that is not the one that was asked for."""
    return SourceChangedError(f"{shown(str(url))} was replaced since the run was planned")


def cut_short(url: ObjectUrl, got: int, wanted: int) -> RemoteIOError:
    """Return the error for an answer of another length than it was asked for."""
    return RemoteIOError(
        f"{shown(str(url))}: {url.host} sent {got} of {wanted} bytes", hint="it is tried again"
    )


def beyond(url: ObjectUrl, size: int) -> CorruptSourceError:
    """Return the error for bytes that lie beyond the end of an object."""
    return CorruptSourceError(f"{shown(str(url))} is cut off at {size} bytes")

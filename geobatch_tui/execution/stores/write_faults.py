"""Errors of writing to stores, in our own classes: what is to be done about each.

Nothing that a store answers stands in a message but its status and the name of its error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import (
    AuthExpiredError,
    GeobatchError,
    InvalidInputError,
    OutputGoneError,
    PreflightError,
    RemoteIOError,
    ThrottledError,
    TransientError,
    UnsafeInputError,
    VerifyError,
)
from geobatch_tui.execution.stores import network_faults
from geobatch_tui.execution.stores.object_url import shown

if TYPE_CHECKING:
    from geobatch_tui.execution.stores.object_url import ObjectUrl

_NAME = re.compile(r"[A-Za-z0-9]{1,64}")
_EXPIRED = re.compile(r"Expired|TokenRefreshRequired")
_SLOW = re.compile(r"SlowDown|TooManyRequests|RequestLimitExceeded|Throttling")
#: The body was damaged on its way, or broke off.
_DAMAGED = frozenset({"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "InvalidDigest"})
_REGION = re.compile(r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocation")
#: Errors of the client library for a network that fails; other errors of connections, too.
_NETWORK = re.compile(r"Connect|Timeout|HTTPClient|EndpointConn|IncompleteRead|ResponseStream|SSL")
_NO_CREDENTIALS = re.compile(r"Credential|Token.*Error|ProfileNotFound|SSO")


class NameTakenError(VerifyError):
    """An object has the name of an output already, and ``output.if_exists`` is "fail"."""

    default_hint = 'move it away, or set output.if_exists = "overwrite"'


def code_of(error: Exception) -> str:
    """Return the name that a store has for its error; empty: it did not answer."""
    code = str(_answer(error).get("Error", {}).get("Code", ""))
    return code if _NAME.fullmatch(code) else ""


def _answer(error: Exception) -> Any:
    answer = getattr(error, "response", None)
    return answer if isinstance(answer, dict) else {}


def fault(error: Exception, url: ObjectUrl) -> GeobatchError:
    """Return the error of our own tree for one of the client library."""
    if isinstance(error, GeobatchError):
        return error
    where, kind = shown(str(url)), type(error).__name__
    status = int(_answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    code = code_of(error)
    if status or code:
        return _answered(status, code, url)
    if _NO_CREDENTIALS.search(kind):
        return OutputGoneError(
            f"{where}: no credentials were found that sign requests ({kind})", hint=_ask(url)
        )
    if _NETWORK.search(kind) or isinstance(error, OSError):
        return away(RemoteIOError(f"{where}: {url.host} cannot be reached ({kind})"), url)
    return OutputGoneError(f"{where}: the client of stores refuses the request ({kind})")


def by_reader(error: Exception, url: ObjectUrl) -> GeobatchError:
    """Return the error of writing for one of the library that objects are read with."""
    if type(error).__name__ in {"AlreadyExistsError", "PreconditionError"}:
        return NameTakenError(f"{shown(str(url))}: there is an object of that name")
    failed = network_faults.fault(error, url)
    if isinstance(failed, TransientError):
        return away(failed, url)
    if isinstance(failed, UnsafeInputError):
        return failed
    return OutputGoneError(f"cannot write {failed.message}", hint=_ask(url))


def _answered(status: int, code: str, url: ObjectUrl) -> GeobatchError:
    where, told = shown(str(url)), f"{status} {code}".strip()
    if status == 412:
        return NameTakenError(f"{where}: there is an object of that name ({told})")
    if _EXPIRED.search(code):
        return away(AuthExpiredError(f"{where}: the credentials have expired ({told})"), url)
    if status in {429, 503} or _SLOW.search(code):
        return away(ThrottledError(f"{where}: {url.host} asks to slow down ({told})"), url)
    if status >= 500 or status in {408, 409} or code == "RequestTimeout":
        return away(RemoteIOError(f"{where}: {url.host} answers {told}"), url)
    if code in _DAMAGED:
        return RemoteIOError(f"{where}: bytes were damaged on their way ({told})")
    return _refused(status, code, url)


def _refused(status: int, code: str, url: ObjectUrl) -> GeobatchError:
    where, told = shown(str(url)), f"{status} {code}".strip()
    if _REGION.search(code) or 300 <= status < 400:
        return OutputGoneError(
            f"{where}: the bucket is in another region ({told})",
            hint=f'set region in [storage."{url.root}"]',
        )
    if status in {401, 403}:
        return OutputGoneError(f"{where}: it is forbidden ({told})", hint=_ask(url))
    if status == 404:
        return OutputGoneError(
            f"{where}: there is no bucket {url.host} ({told})", hint="make it, or check the URL"
        )
    if code in {"EntityTooLarge", "KeyTooLongError", "InvalidObjectName", "MetadataTooLarge"}:
        return InvalidInputError(f"{where}: the store does not take it ({told})")
    return OutputGoneError(f"{where}: {url.host} answers {told}")


def _ask(url: ObjectUrl) -> str:
    return (
        f'give credentials that may write to {url.root}, or name their variables in [storage."'
        f'{url.root}"]: access_key = "env:NAME", secret_key = "env:NAME"'
    )


def away(error: TransientError, url: ObjectUrl) -> GeobatchError:
    """Say that it is the store that fails, and no output of it: the run waits until it answers."""
    error.evidence = {"store": url.root}
    return error


def upload_gone(url: ObjectUrl) -> RemoteIOError:
    """Return the error for an upload that somebody gave up meanwhile: it is begun again."""
    return RemoteIOError(f"{shown(str(url))}: the store has forgotten the upload")


def refused_at_start(error: GeobatchError) -> PreflightError:
    """Return the error of a run that cannot begin, as its store takes no outputs."""
    return PreflightError(f"cannot write to output.dir: {error.message}", hint=error.hint)

"""Maps exceptions to the error tree: by type and number first, by message last.

Nothing here imports rasterio or pyproj: their exceptions are known by the names in their method
resolution order, so the engine and the thread pool can use it too.
"""

from __future__ import annotations

import errno
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui import errors
from geobatch_tui.errors import (
    AuthExpiredError,
    CorruptSourceError,
    CrsError,
    DiskFullError,
    GeobatchError,
    InvalidInputError,
    MemoryBudgetError,
    OpenFilesError,
    OperationError,
    OutputGoneError,
    ProcessLimitError,
    RemoteIOError,
    SourceNotFoundError,
    StepError,
    ThrottledError,
    TransientError,
    UnsupportedFormatError,
    VerifyError,
)
from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.execution.runtime import evidence, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.runtime.recorder import GdalMessage

Kind = type[GeobatchError]

_UNREACHED = (
    errno.EIO, errno.ESTALE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED,
    errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ETIMEDOUT,
)  # fmt: skip
#: errno -> class, of what is read: who writes says so (`disk_errors`). ENOENT, EACCES, EPERM, EROFS
#: depend on which file it was: see `_by_errno`. EAGAIN is what fork and pthread_create answer with,
#: and no local file.
BY_ERRNO: dict[int, Kind] = {
    **dict.fromkeys(errors.DISK_FULL, DiskFullError),
    **dict.fromkeys(errors.TOO_MANY_FILES, OpenFilesError),
    errno.ENOMEM: MemoryBudgetError,
    errno.EAGAIN: ProcessLimitError,
    **dict.fromkeys(_UNREACHED, RemoteIOError),
}

#: Name of a class in the method resolution order -> class.
BY_NAME: dict[str, Kind] = {
    "MemoryError": MemoryBudgetError,
    "CPLE_OutOfMemoryError": MemoryBudgetError,
    "CRSError": CrsError,
    "ProjError": CrsError,
    "NotGeoreferencedWarning": CrsError,
    "CPLE_AWSObjectNotFoundError": SourceNotFoundError,
    "CPLE_AWSBucketNotFoundError": SourceNotFoundError,
    "CPLE_AWSAccessDeniedError": AuthExpiredError,
    "CPLE_AWSInvalidCredentialsError": AuthExpiredError,
    "CPLE_AWSSignatureDoesNotMatchError": AuthExpiredError,
    "TiffFileError": CorruptSourceError,
    "SSLError": RemoteIOError,
    "TimeoutError": RemoteIOError,
    "IncompleteRead": RemoteIOError,
    "RemoteDisconnected": RemoteIOError,
}

#: CPLE number -> class, where the number alone tells it.
BY_CPLE: dict[int, Kind] = {
    2: MemoryBudgetError,
    12: SourceNotFoundError,
    13: SourceNotFoundError,
    14: AuthExpiredError,
    15: AuthExpiredError,
    16: AuthExpiredError,
}

#: Pattern in a message (case ignored) -> class, and the class where the source is remote: what
#: looks corrupt or unknown over a network may be half an answer or an error page. First hit wins.
BY_MESSAGE: tuple[tuple[str, Kind, Kind], ...] = (
    (r"no space left", DiskFullError, DiskFullError),
    (r"disk quota exceeded", DiskFullError, DiskFullError),
    (r"file too large", DiskFullError, DiskFullError),
    (r"too many open files", OpenFilesError, OpenFilesError),
    (r"can(?:no|')t start \w+ thread|pthread_create", ProcessLimitError, ProcessLimitError),
    (r"resource temporarily unavailable", ProcessLimitError, RemoteIOError),
    (r"\bHTTP\b.*\b40[13]\b", AuthExpiredError, AuthExpiredError),
    (r"access ?denied|signature ?does ?not ?match", AuthExpiredError, AuthExpiredError),
    (r"(?:invalid ?credential|expired ?token|has expired)", AuthExpiredError, AuthExpiredError),
    (r"\bHTTP\b.*\b(?:429|503)\b", ThrottledError, ThrottledError),
    (r"too many requests|slow ?down", ThrottledError, ThrottledError),
    (r"\bHTTP\b.*\b(?:404|410)\b", SourceNotFoundError, SourceNotFoundError),
    (r"no ?such ?(?:key|bucket)", SourceNotFoundError, SourceNotFoundError),
    (r"\bHTTP\b.*\b5\d\d\b", RemoteIOError, RemoteIOError),
    (r"\bcurl\b|timed ?out", RemoteIOError, RemoteIOError),
    (r"could not resolve|connection (?:reset|refused)", RemoteIOError, RemoteIOError),
    (r"\bSSL\b|range downloading", RemoteIOError, RemoteIOError),
    (r"cannot allocate|out of memory|memory allocation", MemoryBudgetError, MemoryBudgetError),
    (r"not recognized as .*supported file format", UnsupportedFormatError, RemoteIOError),
    (r"IReadBlock failed", CorruptSourceError, RemoteIOError),
    (r"TIFF(?:ReadEncoded|Fill)(?:Tile|Strip)", CorruptSourceError, RemoteIOError),
    (r"TIFF(?:Read|Fetch)Directory", CorruptSourceError, RemoteIOError),
    (r"(?:ZIP|LZW|LZMA|ZSTD|LERC|JPEG|PackBits|Webp)\w*Decode", CorruptSourceError, RemoteIOError),
    (r"read failed|\bread error\b", CorruptSourceError, RemoteIOError),
    (r"cannot read (?:tile|strip)|corrupt", CorruptSourceError, RemoteIOError),
    (r"_tiff(?:Read|Seek)Proc", CorruptSourceError, RemoteIOError),
    (r"_tiffWriteProc", VerifyError, VerifyError),
    (r"TIFF(?:WriteEncoded|AppendTo)|IWriteBlock failed", VerifyError, VerifyError),
    (r"\bwrite error\b", VerifyError, VerifyError),
    (r"input/output error", RemoteIOError, RemoteIOError),
    (r"cannot find coordinate operations", CrsError, CrsError),
    (r"unable to compute a transformation", CrsError, CrsError),
    (r"proj_create|crs not found", CrsError, CrsError),
)

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_GONE = {errno.ENOENT, errno.ENOTDIR}
_MISSING = re.compile(r"no such file or directory", re.IGNORECASE)
_REMOTE = re.compile(
    r"^(?:[a-z][a-z0-9+.-]*://|/vsi(?!mem|zip/(?!/vsi)|tar|gzip|stdin))", re.IGNORECASE
)
#: While one of these is handled, another was raised: that is a bug, not its consequence.
_BUGS = (
    TypeError, AttributeError, NameError, LookupError, AssertionError, ArithmeticError, ImportError,
    NotImplementedError,
)  # fmt: skip
#: How Python and Arrow word it that the system refuses a thread.
_NO_THREAD = re.compile(r"can(?:no|')t start \w+ thread", re.IGNORECASE)
#: Words of C libraries for an error of the system that may go away by itself.
_PASSING = re.compile(r"input/output error|disk i/o error|stale file handle", re.IGNORECASE)


def no_thread(error: BaseException) -> bool:
    """Whether the system refused to start a process or a thread."""
    if isinstance(error, OSError) and error.errno:
        return error.errno == errno.EAGAIN
    return _NO_THREAD.search(str(error)) is not None


def is_passing(text: str) -> bool:
    """Whether a message of a library is of a disk that failed, and not of the file on it."""
    return _PASSING.search(text) is not None


def is_remote(source: str) -> bool:
    """Whether reading ``source`` crosses a network."""
    return not source.startswith("file://") and _REMOTE.search(source) is not None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, then its causes. The context of a bug of Python's kind is no cause."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < 32:
        seen.add(id(current))
        yield current
        if current.__cause__ is not None:
            current = current.__cause__
        elif current.__suppress_context__ or isinstance(current, _BUGS):
            current = None
        else:
            current = current.__context__


def _by_errno(error: BaseException, source: str, out: str) -> Kind | None:
    number = getattr(error, "errno", None)
    if not isinstance(error, OSError) or not isinstance(number, int):
        return None
    if sandbox.refused(error):
        return OperationError
    if number in _DENIED or number in _GONE:
        return _by_place(str(error.filename or ""), source, out, missing=number in _GONE)
    if number == errno.EAGAIN and is_remote(source):
        return RemoteIOError
    return BY_ERRNO.get(number)


def _by_place(name: str, source: str, out: str, *, missing: bool) -> Kind | None:
    """Tell whether a missing or forbidden file is the source, or is where the output goes."""
    if source and name == source:
        return SourceNotFoundError
    if out and not Path(out).parent.is_dir():
        return OutputGoneError
    if out and not missing:
        return OutputGoneError
    if source and not is_remote(source) and not Path(source).exists():
        return SourceNotFoundError
    return None


def _by_name(error: BaseException) -> Kind | None:
    hits = (BY_NAME.get(base.__name__) for base in type(error).__mro__)
    return next(filter(None, hits), None)


def _by_status(error: BaseException) -> Kind | None:
    """Classify by the status of an HTTP answer, as urllib, aiohttp and requests give it."""
    response = getattr(error, "response", None)
    for holder, name in ((error, "code"), (error, "status"), (response, "status_code")):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 400 <= status < 600:
            return by_message(f"HTTP {status}", "https://")
    return None


def by_message(text: str, source: str = "") -> Kind | None:
    """Return the class that a message stands for, or None. The last resort."""
    for pattern, local, remote in BY_MESSAGE:
        if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            return remote if is_remote(source) else local
    if _MISSING.search(text) and source and not is_remote(source) and not Path(source).exists():
        return SourceNotFoundError
    return None


def _kind(error: BaseException, source: str, out: str) -> Kind:
    chain = list(_chain(error))
    texts = (evidence.message_of(link) for link in chain if not isinstance(link, _BUGS))
    hits = itertools.chain(
        map(_by_name, chain),
        map(_by_status, chain),
        (_by_errno(link, source, out) for link in chain),
        (by_message(text, source) for text in texts),
    )
    return next(filter(None, hits), OperationError)


def _known(error: GeobatchError) -> Kind:
    """Return the nearest class of the error tree: a plug-in may have derived its own."""
    bases: Iterator[Kind] = (
        base for base in type(error).__mro__ if getattr(errors, base.__name__, None) is base
    )
    return next(bases, OperationError)


def failure(
    error: BaseException,
    *,
    stage: str = "",
    source: str = "",
    out: str = "",
    facts: Json | None = None,
) -> Failure:
    """Make a Failure of an exception: its class, reaction and hint, and its full traceback.

    Args:
        error: that an operation raised, or code below it.
        stage: of the task, in which it was raised.
        source: path or URL that the task reads.
        out: path of the output, whose directory tells whether the output is still there.
        facts: evidence to keep, beside that which the error carries as ``evidence``.
    """
    number = getattr(error, "errno", None)
    text = evidence.message_of(error)
    # Of what a function of the user did, its own frames tell, and ours nothing.
    shown = error.own if isinstance(error, StepError) else error
    if isinstance(error, GeobatchError):
        kind, reaction, hint = _known(error), error.reaction, error.hint
    else:
        kind = _kind(error, source, out)
        reaction, hint = kind.reaction, kind.default_hint
        if not isinstance(error, Exception):
            text = f"the operation raised {type(error).__name__}: {text}"
        elif kind is OperationError:
            text = f"{type(error).__name__}: {text}"
    if any(map(sandbox.refused, _chain(error))):
        hint = sandbox.HINT
    return Failure(
        error_class=kind.__name__,
        reaction=reaction,
        message=text,
        stage=stage,
        traceback="" if shown is None else evidence.traceback_of(shown),
        hint=hint,
        errno=number if isinstance(number, int) else None,
        retry_after=error.retry_after if isinstance(error, TransientError) else None,
        evidence={**getattr(error, "evidence", {}), **(facts or {})},
    )


def complaint(
    lines: str, messages: Sequence[GdalMessage], *, source: str = "", reading_back: bool = False
) -> Failure | None:
    """Find the failure of a task that raised nothing, in the messages of its libraries.

    Args:
        lines: the line on fd 2 that tells of lost bytes, or "".
        messages: of GDAL.
        source: path or URL that the task reads.
        reading_back: the task reads our own output only, so that a corrupt file is ours.
    """
    if lines:
        return _complaint(by_message(lines, source) or VerifyError, lines, reading_back)
    for message in messages:
        if not message.failed or evidence.harmless(message.text):
            continue
        kind: Kind | None = BY_CPLE.get(message.number) or by_message(message.text, source)
        # Number 3 is FileIO, 11 HttpResponse: bytes did not arrive, whatever the call returned.
        if kind is None and message.number in (3, 11):
            kind = RemoteIOError if is_remote(source) else CorruptSourceError
        if kind is not None:
            return _complaint(kind, message.text, reading_back)
    return None


def _complaint(kind: Kind, text: str, reading_back: bool) -> Failure:  # noqa: FBT001
    if reading_back and issubclass(kind, InvalidInputError):
        kind = VerifyError
    return Failure(
        kind.__name__,
        kind.reaction,
        f"no error was raised, but bytes were lost: {evidence.cut(text, evidence.MESSAGE)}",
        hint=kind.default_hint,
    )

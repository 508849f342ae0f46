"""Each entry of the table of failures, by one row."""

from __future__ import annotations

import errno
import re

import pytest
import rasterio._err
import rasterio.errors
from pyproj.exceptions import ProjError
from rasterio.errors import CRSError, RasterioIOError

from geobatch_tui import errors
from geobatch_tui.errors import CrsError, GeobatchError, Reaction, ThrottledError
from geobatch_tui.execution.runtime import classify
from geobatch_tui.execution.runtime.recorder import GdalMessage

HTTP = "https://example.org/a.tif"


def named(name: str) -> Exception:
    return type(name, (Exception,), {})("what happened")


ERRNO = {
    "ENOSPC": "DiskFullError",
    "EDQUOT": "DiskFullError",
    "EFBIG": "DiskFullError",
    "EMFILE": "OpenFilesError",
    "ENFILE": "OpenFilesError",
    "ENOMEM": "MemoryBudgetError",
    "EIO": "RemoteIOError",
    "ESTALE": "RemoteIOError",
    "EAGAIN": "ProcessLimitError",
    "ECONNRESET": "RemoteIOError",
    "ECONNREFUSED": "RemoteIOError",
    "ECONNABORTED": "RemoteIOError",
    "EHOSTUNREACH": "RemoteIOError",
    "ENETUNREACH": "RemoteIOError",
    "ENETDOWN": "RemoteIOError",
    "ETIMEDOUT": "RemoteIOError",
    "EBADF": "OperationError",
}


@pytest.mark.parametrize(("name", "kind"), ERRNO.items())
def test_by_errno(name, kind):
    """An OSError is classified by its number; a number that tells nothing is a bug's."""
    number = getattr(errno, name)
    failure = classify.failure(OSError(number, "what happened"))
    assert (failure.error_class, failure.errno) == (kind, number)
    assert failure.reaction is getattr(errors, kind).reaction


NAMES = {
    "MemoryError": "MemoryBudgetError",
    "CPLE_OutOfMemoryError": "MemoryBudgetError",
    "CRSError": "CrsError",
    "ProjError": "CrsError",
    "NotGeoreferencedWarning": "CrsError",
    "CPLE_AWSObjectNotFoundError": "SourceNotFoundError",
    "CPLE_AWSBucketNotFoundError": "SourceNotFoundError",
    "CPLE_AWSAccessDeniedError": "AuthExpiredError",
    "CPLE_AWSInvalidCredentialsError": "AuthExpiredError",
    "CPLE_AWSSignatureDoesNotMatchError": "AuthExpiredError",
    "TiffFileError": "CorruptSourceError",
    "SSLError": "RemoteIOError",
    "TimeoutError": "RemoteIOError",
    "IncompleteRead": "RemoteIOError",
    "RemoteDisconnected": "RemoteIOError",
    "SomethingElse": "OperationError",
}


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_by_name(name, kind):
    """A foreign class is known by a name in its method resolution order."""
    derived = type("Derived", (type(named(name)),), {})("what happened")
    for error in (named(name), derived):
        assert classify.failure(error).error_class == kind


def test_each_entry_has_a_row():
    """No number and no name of the tables is without its row here."""
    assert {getattr(errno, name) for name in ERRNO} > set(classify.BY_ERRNO)
    assert set(NAMES) > set(classify.BY_NAME)


REAL = [
    (MemoryError(), "MemoryBudgetError"),
    (CRSError("The EPSG code is unknown"), "CrsError"),
    (ProjError("no"), "CrsError"),
    (rasterio.errors.NotGeoreferencedWarning("no geotransform"), "CrsError"),
    (rasterio._err.CPLE_OutOfMemoryError(3, 2, "x"), "MemoryBudgetError"),
    (rasterio._err.CPLE_AWSAccessDeniedError(3, 14, "x"), "AuthExpiredError"),
    (rasterio._err.CPLE_AWSObjectNotFoundError(3, 13, "x"), "SourceNotFoundError"),
    (TimeoutError(), "RemoteIOError"),
    (ConnectionResetError(errno.ECONNRESET, "reset"), "RemoteIOError"),
    (ZeroDivisionError("x"), "OperationError"),
    (SystemExit(3), "OperationError"),
    (KeyboardInterrupt(), "OperationError"),
    (RuntimeError("can't start new thread"), "ProcessLimitError"),
    (BlockingIOError(errno.EAGAIN, "fork"), "ProcessLimitError"),
]


@pytest.mark.parametrize(("error", "kind"), REAL, ids=lambda x: type(x).__name__)
def test_real_classes(error, kind):
    """The libraries' own classes still bear the names that the table knows."""
    assert classify.failure(error).error_class == kind


MESSAGES = [
    ("TIFFAppendToStrip:Write error at scanline 3: No space left on device", "DiskFullError", None),
    ("Disk quota exceeded", "DiskFullError", None),
    ("write: File too large", "DiskFullError", None),
    ("a.tif: Too many open files", "OpenFilesError", None),
    ("libgomp: pthread_create failed", "ProcessLimitError", None),
    ("Resource temporarily unavailable", "ProcessLimitError", "RemoteIOError"),
    ("HTTP response code: 403", "AuthExpiredError", None),
    ("HTTP error code : 401", "AuthExpiredError", None),
    ("AccessDenied: no", "AuthExpiredError", None),
    ("The request signature does not match: SignatureDoesNotMatch", "AuthExpiredError", None),
    ("Request has expired", "AuthExpiredError", None),
    ("InvalidCredentials", "AuthExpiredError", None),
    ("HTTP response code: 429", "ThrottledError", None),
    ("HTTP response code: 503", "ThrottledError", None),
    ("Please reduce your request rate: SlowDown", "ThrottledError", None),
    ("HTTP response code: 404", "SourceNotFoundError", None),
    ("NoSuchKey", "SourceNotFoundError", None),
    ("NoSuchBucket", "SourceNotFoundError", None),
    ("HTTP response code: 500", "RemoteIOError", None),
    ("CURL error: Operation too slow", "RemoteIOError", None),
    ("Connection timed out after 10001 milliseconds", "RemoteIOError", None),
    ("Could not resolve host: example.org", "RemoteIOError", None),
    ("Connection reset by peer", "RemoteIOError", None),
    ("SSL certificate problem", "RemoteIOError", None),
    ("Range downloading not supported by this server!", "RemoteIOError", None),
    ("cannot allocate 8000000000 bytes", "MemoryBudgetError", None),
    ("Out of memory allocating 9 bytes", "MemoryBudgetError", None),
    (
        "'a.tif' not recognized as being in a supported file format.",
        "UnsupportedFormatError",
        "RemoteIOError",
    ),
    ("'a' not recognized as a supported file format.", "UnsupportedFormatError", "RemoteIOError"),
    ("a.tif, band 1: IReadBlock failed at X offset 1", "CorruptSourceError", "RemoteIOError"),
    ("TIFFReadEncodedTile() failed.", "CorruptSourceError", "RemoteIOError"),
    ("TIFFFillStrip:Read error on strip 3", "CorruptSourceError", "RemoteIOError"),
    ("TIFFFetchDirectory:Can not read TIFF directory", "CorruptSourceError", "RemoteIOError"),
    ("ZIPDecode:Decoding error at scanline 0", "CorruptSourceError", "RemoteIOError"),
    ("LZWDecode:Not enough data at scanline 0", "CorruptSourceError", "RemoteIOError"),
    ("ZSTDDecode:Error in ZSTD_decompressStream()", "CorruptSourceError", "RemoteIOError"),
    ("Read failed. See previous exception for details.", "CorruptSourceError", "RemoteIOError"),
    ("JPEG: Corrupt data", "CorruptSourceError", "RemoteIOError"),
    ("_tiffReadProc:Success", "CorruptSourceError", "RemoteIOError"),
    ("_tiffSeekProc:Invalid argument", "CorruptSourceError", "RemoteIOError"),
    ("_tiffWriteProc:Bad file descriptor", "VerifyError", None),
    ("TIFFWriteEncodedTile failed", "VerifyError", None),
    ("IWriteBlock failed", "VerifyError", None),
    ("Write error at scanline 3", "VerifyError", None),
    ("Input/output error", "RemoteIOError", None),
    ("Cannot find coordinate operations from `EPSG:1' to `EPSG:2'", "CrsError", None),
    ("Unable to compute a transformation between pixel/line", "CrsError", None),
    ("PROJ: proj_create_from_database: crs not found", "CrsError", None),
    ("something else", "OperationError", None),
]


@pytest.mark.parametrize(("text", "local", "remote"), MESSAGES)
def test_by_message(text, local, remote):
    """A message is the last resort; over a network, corruption may be half an answer."""
    error = RasterioIOError(text)
    assert classify.failure(error, source="/data/a.tif").error_class == local
    assert classify.failure(error, source=HTTP).error_class == (remote or local)


def test_each_pattern_has_a_row():
    """No pattern of the table is without a message that it is the first to match."""
    hits = set()
    for text, _, _ in MESSAGES:
        for index, (pattern, _, _) in enumerate(classify.BY_MESSAGE):
            if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
                hits.add(index)
                break
    assert hits == set(range(len(classify.BY_MESSAGE)))


@pytest.mark.parametrize(
    "kind",
    [
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, GeobatchError)
    ],
)
def test_our_own_pass_through(kind):
    """An error of the tree keeps its class, reaction, message and hint."""
    failure = classify.failure(kind("what", hint="do this"), stage="read")
    assert (failure.error_class, failure.reaction) == (kind.__name__, kind.reaction)
    assert (failure.message, failure.hint, failure.stage) == ("what", "do this", "read")


def test_derived_class_of_a_plug_in():
    """A plug-in's own subclass is reported as the nearest class of the tree."""
    derived = type("MyCrsError", (CrsError,), {})
    assert classify.failure(derived("x")).error_class == "CrsError"


def test_retry_after_is_kept():
    """What the server asked for reaches the scheduler."""
    assert classify.failure(ThrottledError("x", retry_after=7.5)).retry_after == 7.5


def chained(outer: Exception, inner: Exception, *, explicit: bool) -> Exception:
    """``outer`` as raised while ``inner`` was handled, or raised from it."""
    outer.__context__ = inner
    if explicit:
        outer.__cause__ = inner
    return outer


@pytest.mark.parametrize("explicit", [True, False])
def test_cause_decides(explicit):
    """The cause behind a vague message tells the class."""
    error = chained(
        RasterioIOError("Write failed. See previous exception for details."),
        OSError(errno.ENOSPC, "No space left on device"),
        explicit=explicit,
    )
    failure = classify.failure(error)
    assert failure.error_class == "DiskFullError"
    assert "No space left" in failure.traceback


def test_bug_in_a_handler_is_a_bug():
    """A KeyError raised while an OSError was handled is not the OSError's fault."""
    error = chained(KeyError("x"), OSError(errno.ECONNRESET, "reset"), explicit=False)
    assert classify.failure(error).error_class == "OperationError"


def test_bug_whose_text_sounds_like_damage():
    """A bug is not taken for damage because of a word in its message."""
    assert classify.failure(KeyError("corrupt")).error_class == "OperationError"


def test_missing_source(tmp_path):
    """ENOENT means a missing source only if it is the source that is missing."""
    source, out = tmp_path / "a.tif", tmp_path / "out.tif"
    error = FileNotFoundError(errno.ENOENT, "gone", str(source))
    assert classify.failure(error, source=str(source)).error_class == "SourceNotFoundError"
    text = RasterioIOError(f"{source}: No such file or directory")
    assert classify.failure(text, source=str(source)).error_class == "SourceNotFoundError"
    source.touch()
    other = FileNotFoundError(errno.ENOENT, "gone", str(tmp_path / "other"))
    kind = classify.failure(other, source=str(source), out=str(out)).error_class
    assert kind == "OperationError"


def test_vanished_output(tmp_path):
    """ENOENT, EROFS and EACCES where the output goes end the run."""
    source, out = tmp_path / "a.tif", tmp_path / "out" / "a.tif"
    source.touch()
    part = str(out.parent / ".a.part")
    gone = FileNotFoundError(errno.ENOENT, "gone", part)
    assert classify.failure(gone, source=str(source), out=str(out)).reaction is Reaction.FATAL
    out.parent.mkdir()
    for number in (errno.EROFS, errno.EACCES):
        failure = classify.failure(OSError(number, "no", part), source=str(source), out=str(out))
        assert failure.error_class == "OutputGoneError"
    mine = PermissionError(errno.EACCES, "no", str(source))
    failure = classify.failure(mine, source=str(source), out=str(out))
    assert failure.error_class == "SourceNotFoundError"


@pytest.mark.parametrize(("code", "kind"), [(429, "ThrottledError"), (404, "SourceNotFoundError")])
def test_status_of_an_http_library(code, kind):
    """The status of an answer counts, wherever a library keeps it."""
    error = named("HTTPError")
    error.code = code
    assert classify.failure(error).error_class == kind


REMOTE = [
    ("https://example.org/a.tif", True),
    ("s3://bucket/a.tif", True),
    ("/vsicurl/https://example.org/a.tif", True),
    ("/vsizip//vsicurl/https://example.org/a.zip", True),
    ("/data/a.tif", False),
    ("/vsimem/a.tif", False),
    ("file:///data/a.tif", False),
    ("/vsizip//data/a.zip", False),
]


@pytest.mark.parametrize(("source", "remote"), REMOTE)
def test_is_remote(source, remote):
    """Whether a source is behind a network."""
    assert classify.is_remote(source) is remote


COMPLAINTS = [
    ("_tiffWriteProc: No space left on device.", (), False, "DiskFullError"),
    ("_tiffWriteProc: Bad file descriptor.", (), False, "VerifyError"),
    ("ERROR 1: something", (), False, "VerifyError"),
    ("ERROR 1: TIFFReadEncodedTile() failed.", (), False, "CorruptSourceError"),
    ("ERROR 1: TIFFReadEncodedTile() failed.", (), True, "VerifyError"),
    ("", (GdalMessage(1, "IReadBlock failed at X offset 0", True),), False, "CorruptSourceError"),
    ("", (GdalMessage(1, "IReadBlock failed at X offset 0", True),), True, "VerifyError"),
    ("", (GdalMessage(1, "IReadBlock failed at X offset 0", False),), False, None),
    ("", (GdalMessage(2, "x", True),), False, "MemoryBudgetError"),
    ("", (GdalMessage(3, "x", True),), False, "CorruptSourceError"),
    ("", (GdalMessage(1, "PROJ: eqc: Invalid latitude", True),), False, None),
    ("", (GdalMessage(1, "Reprojection failed, err = 2049", True),), False, None),
    ("", (GdalMessage(1, "an opinion", True),), False, None),
]


@pytest.mark.parametrize(("lines", "messages", "reading_back", "kind"), COMPLAINTS)
def test_complaint(lines, messages, reading_back, kind):
    """A task that raised nothing fails if what was said on the way tells of lost bytes."""
    failure = classify.complaint(lines, messages, source="/a.tif", reading_back=reading_back)
    assert (failure.error_class if failure else None) == kind


def test_complaint_over_a_network():
    """A failed range read that GDAL only logged is a failure, whatever its text."""
    failure = classify.complaint("", (GdalMessage(11, "x", True),), source=HTTP)
    assert failure.reaction is Reaction.TRANSIENT

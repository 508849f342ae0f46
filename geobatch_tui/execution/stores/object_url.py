"""URLs of objects: which are taken, and what they name.

A key is bytes that strangers chose. Nothing of it becomes a local path but by
:func:`relative_name`, and what a store's client would read as another key is refused here.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.text import safe

#: Schemes that are taken; those with buckets can be listed.
BUCKETS = ("s3", "gs", "az")
SCHEMES = (*BUCKETS, "https", "http")
PORTS = {"http": 80}
#: Bytes of the longest key that stores take.
LONGEST_KEY = 1024
#: Bytes of the longest part of an output's name that is made of one.
LONGEST_PART = 200
_GDAL = {"s3": "vsis3", "gs": "vsigs", "az": "vsiaz"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
#: Parameters of signed URLs, of S3, Google Cloud Storage, Azure and CloudFront; those that sign.
#: Their secrets are known to :mod:`geobatch_tui.observability.redact`.
_SIGNED = re.compile(
    r"x-(?:amz|goog)-[\w-]+|awsaccesskeyid|googleaccessid|expires|signature|policy|key-pair-id"
    r"|s[evrpkt]|sip|spr|srt|ss|sig|sk(?:oid|tid|e|s|t|v)|rsc[cdelt]|response-[\w-]+|versionid",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"(?i)signature$|^sig$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")


def is_url(text: str) -> bool:
    """Whether ``text`` is a URL, of whatever scheme, and no path."""
    return _URL.match(text) is not None


@lru_cache(maxsize=1024)
def _taken_apart(text: str) -> tuple[str, str]:
    scheme, host, path = split(text)
    return f"{scheme}://{host}", _key(text, scheme, path)


@dataclass(frozen=True, slots=True)
class ObjectUrl:
    """The URL of an object: ``root`` is the store (``s3://bucket``, ``https://host:port``), ``key``
    what it is called there, decoded."""

    root: str
    key: str

    @classmethod
    def of(cls, text: str) -> ObjectUrl:
        """Take a URL apart. Raises UnsafeInputError if it is of another scheme, carries a
        credential, or has a key that a client cannot send as it is."""
        return cls(*_taken_apart(text))

    @property
    def scheme(self) -> str:
        return self.root.partition(":")[0]

    @property
    def host(self) -> str:
        return self.root.partition("://")[2]

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.root}/{self.key}"


def shown(text: str) -> str:
    """Return a URL for a message: one line, without credentials."""
    return safe(redact(text))


def gdal_name(source: str) -> str:
    """Return what GDAL's own tools call a source: a path as it is, a URL by their file systems."""
    if not is_url(source):
        return source
    scheme, _, rest = source.partition("://")
    system = _GDAL.get(scheme.lower())
    return f"/{system}/{rest}" if system else f"/vsicurl/{source}"


def unsigned(text: str) -> tuple[str, str]:
    """Return a URL of a server without its signature, and that signature, a query by the rules of
    a store; a URL with another query, of which nobody knows what is secret, stays as it is. A key
    of a bucket may hold a question mark of its own."""
    plain, _, query = text.partition("?")
    names = [part.partition("=")[0] for part in query.split("&")]
    signed = all(map(_SIGNED.fullmatch, names)) and any(map(_SIGNATURE.search, names))
    if text.partition("://")[0].lower() in BUCKETS or not signed or "#" in query:
        return text, ""
    return plain, query


def split(text: str) -> tuple[str, str, str]:
    """Return scheme, host or bucket, and the rest of a URL as it is written. Raises
    UnsafeInputError as :meth:`ObjectUrl.of`, but for the key."""
    scheme = text.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise UnsafeInputError(
            f"{shown(text)}: sources of {safe(scheme)}:// are not read",
            hint=f"geobatch reads {', '.join(f'{one}://' for one in SCHEMES)} and local files",
        )
    host, _, path = text.partition("://")[2].partition("/")
    if "@" in host:
        raise UnsafeInputError(
            f"{shown(text)}: a URL carries no user or password",
            hint='name the variable that holds the secret in [storage."..."]: token = "env:NAME"',
        )
    if _HOST.fullmatch(host) is None or is_link_local(host):
        raise UnsafeInputError(f"{shown(text)}: {safe(host)!r} is no host or bucket")
    return scheme, host.lower() if scheme not in BUCKETS else host, path


@lru_cache(maxsize=256)  # asked several times for each of very many objects of one host
def is_link_local(host: str) -> bool:
    """Whether a host is an address of the machine's own link, as those of a cloud's credentials."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return ipaddress.ip_address(name).is_link_local
    except ValueError:
        return False


def _key(text: str, scheme: str, path: str) -> str:
    if scheme not in BUCKETS:
        if "?" in path or "#" in path:
            raise UnsafeInputError(
                f"{shown(re.split(r'[?#]', text)[0])}: this URL has a query, or a part behind #",
                hint="a signed URL is an input of a job, which nothing else keeps; leave # out",
            )
        if re.search(r"%2f|%5c|%00", path, re.IGNORECASE):
            raise UnsafeInputError(
                f"{shown(text)}: an encoded slash means another object to every server",
                hint="give the object another name, or fetch it to a local file",
            )
        path = unquote(path, errors="surrogateescape")
    refuse_key(text, path)
    return path


def refuse_key(text: str, key: str) -> None:
    """Raise UnsafeInputError if ``key`` is none that can be asked for as it is."""
    parts = key.split("/")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise UnsafeInputError(f"{shown(text)}: its key is not UTF-8") from None
    why = ""
    if not key:
        why = "it names no object"
    elif _CONTROL.search(key):
        why = "its key holds a control character"
    elif size > LONGEST_KEY:
        why = f"its key has {size} bytes, a store takes {LONGEST_KEY}"
    elif any(part in {"", ".", ".."} for part in parts):
        why = 'its key has an empty part, "." or ".."'
    if why:
        raise UnsafeInputError(
            f"{shown(text)}: {why}", hint="give the object another name, or fetch it to a file"
        )


def _short(part: str) -> str:
    """Cut a part that no filesystem takes, behind which a mark tells it from others."""
    raw = part.encode("utf-8", "surrogateescape")
    if len(raw) <= LONGEST_PART:
        return part
    mark = hashlib.blake2b(raw, digest_size=4).hexdigest()
    return f"{raw[: LONGEST_PART - 32].decode('utf-8', 'ignore')}~{mark}{part[-12:]}"


def relative_name(key: str) -> str:
    """Return the name, below an output directory, that ``key`` stands for: no part of it is hidden
    or leads elsewhere. What is changed collides with nothing unseen: names of outputs are
    compared."""
    parts = [_CONTROL.sub("_", part).replace("\\", "_") for part in key.split("/")]
    named = [_short(f"_{part[1:]}" if part[0] == "." else part) for part in parts if part]
    return "/".join(named) or "object"

"""Inputs in stores: single objects, and what a store lists below a prefix or for a pattern.

What a store lists is names that strangers chose: they are held against the pattern here, and become
names of outputs only as ``relative_name`` allows.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError, PreflightError
from geobatch_tui.execution.sources.object_sources import BESIDE, key_beside
from geobatch_tui.execution.stores import object_url, store_settings
from geobatch_tui.execution.stores.object_url import BUCKETS, ObjectUrl, relative_name, shown
from geobatch_tui.execution.stores.store_settings import Stores, StoreSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from geobatch_tui.config.schema import Job

#: Objects that one entry may stand for, or that lie below the prefix of the outputs; a listing that
#: goes on is ended.
MOST_LISTED = 1_000_000
_MAGIC = re.compile(r"[*?]")
_WORDS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def enter_stores(job: Job) -> None:
    """Let the settings of a job's stores hold in this context. Raises PreflightError if a variable
    that they name is not set."""
    named = {
        root: StoreSettings(**section.model_dump()) for root, section in job.storage.stores.items()
    }
    signed = dict(store_settings.current().signed)  # inputs are expanded before a run begins
    store_settings.use(Stores(named, signed=signed).resolved(os.environ))


def enter_signers(signed: Iterable[tuple[str, str]]) -> None:
    """Let URLs be signed in this context: each with the function that signs those of its store.
    Raises PreflightError where a store has two."""
    signers: dict[str, str] = {}
    for url, use in signed:
        if use and object_url.is_url(url):
            root = "://".join(object_url.split(url)[:2])
            if signers.setdefault(root, use) != use:
                raise PreflightError(
                    f"URLs of {root} would be signed by {signers[root]} and by {use}",
                    hint="let one function sign all of a store",
                )
    if signers:
        store_settings.use(replace(store_settings.current(), signers=signers))


def walk_objects(entry: str, suffixes: frozenset[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield the URL of each object that ``entry`` stands for, the path of its output without change
    of suffix, and whether it is known by a list or by settings that nothing belongs to it. Below a
    prefix, objects of other ``suffixes`` and hidden ones are left out. The signature of a URL is
    remembered by the client of stores alone.

    Raises:
        PreflightError: the store cannot be listed.
    """
    entry, query = object_url.unsigned(entry)
    try:
        scheme, host, path = object_url.split(entry)
    except GeobatchError as error:
        raise PreflightError(error.message, hint=error.hint) from error
    if scheme not in BUCKETS and re.search(r"[?#]", path):
        # It may be a signature of any name, and what is read is written down.
        bare = shown(re.split(r"[?#]", entry)[0])
        raise PreflightError(
            f"{bare}: URLs with a query are not taken, but for signatures of S3, Google Cloud "
            "Storage, Azure and CloudFront",
            hint="name the bucket (s3://, gs://, az://), with credentials in [storage]",
        )
    root = f"{scheme}://{host}"
    pattern = _MAGIC.search(path) if scheme in BUCKETS or "*" in path else None
    if pattern is None and not path.endswith("/") and path:
        # What is wrong with a key is wrong with this one item.
        if query:
            _sign(entry, query)
        yield entry, relative_name(path.rpartition("/")[2]), is_alone(entry)
        return
    if scheme not in BUCKETS:
        raise PreflightError(
            f"{shown(entry)}: a server of {scheme}:// has no list of its objects",
            hint="name each object, in a text file as @list.txt if they are many",
        )
    base = path[: pattern.start()].rpartition("/")[0] if pattern else path.rstrip("/")
    matches = re.compile(_translated(path)) if pattern else None
    hint = "name a longer prefix, or list the objects in a text file, @list.txt"
    keys = sorted(whole_listing(_keys(root, base), entry, hint))
    known = is_alone(root)
    beside = {key for key in keys if key.endswith(BESIDE)}
    for key in keys:
        relative = key[len(base) :].lstrip("/")
        hidden = any(part.startswith(".") for part in relative.split("/"))
        suffix = os.path.splitext(key)[1].lower()  # noqa: PTH122 - a key is no path
        wanted = matches.fullmatch(key) if matches else suffix in suffixes and not hidden
        if wanted:
            alone = known or not any(key_beside(key, ending) in beside for ending in BESIDE)
            yield f"{root}/{key}", relative_name(relative), alone


def is_alone(url: str) -> bool:
    """Whether it is known that nothing belongs to an object, or to a file, without a look."""
    if not object_url.is_url(url):
        return False
    try:
        root = "://".join(object_url.split(url)[:2])
    except GeobatchError:  # what is wrong with a URL is said where it is opened
        return False
    return not store_settings.current().of(root).sidecars


def _sign(entry: str, query: str) -> None:
    """Remember a signature by the URL as it is called from here on."""
    with contextlib.suppress(GeobatchError):
        store_settings.sign(str(ObjectUrl.of(entry)), query)


def _translated(pattern: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return "(?s:" + "".join(_WORDS.get(part) or re.escape(part) for part in parts) + ")"


def _keys(root: str, prefix: str) -> Iterator[str]:
    """Yield the keys below ``prefix``, as the store lists them."""
    from geobatch_tui.execution.stores import store_client

    url = ObjectUrl(root, prefix)
    for page in store_client.client_of(url).list(url):
        yield from (str(one["path"]) for one in page)


def whole_listing[T](objects: Iterator[T], place: str, hint: str) -> list[T]:
    """List what a store has at a place.

    Raises PreflightError, with ``hint``, if that is too much, and if the store cannot be listed.
    """
    try:
        found = list(islice(objects, MOST_LISTED + 1))
    except GeobatchError as error:
        raise PreflightError(f"cannot list {error.message}", hint=error.hint) from error
    if len(found) > MOST_LISTED:
        raise PreflightError(
            f"{shown(place)}: there are more than {MOST_LISTED:,} objects", hint=hint
        )
    return found

"""Versions of geobatch, of its libraries and of the platform, without loading any of them."""

from __future__ import annotations

import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final

_PACKAGES: Final = ("geobatch-tui", "rasterio", "pyogrio", "pyproj", "numpy", "imagecodecs")
_VERSION: Final = re.compile(r"^Version:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)


@cache
def package_version(package: str) -> str:
    """Return the version in the metadata of an installed package.

    ``importlib.metadata.version`` reads all metadata as an e-mail, for which it loads the library
    for e-mails: six packages take longer than all else that a run does before its first line.

    Raises PackageNotFoundError if it is not installed, or its metadata has no version.
    """
    found = distribution(package)
    # A wheel has METADATA, an editable install of older tools PKG-INFO. The head ends at the first
    # empty line; a description may have a line that begins as the one that is sought.
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    head = text.replace("\r\n", "\n").partition("\n\n")[0]
    match = _VERSION.search(head)
    if match is None:
        raise PackageNotFoundError(package)
    return match[1]


def versions() -> dict[str, str]:
    """Return versions by name: geobatch-tui, its libraries, ``python`` and ``platform``.

    They are read from the packages' metadata. GDAL's own version is not among them, as it is known
    only once GDAL is loaded, in workers.
    """
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    found = {package: _version_or_none(package) for package in _PACKAGES}
    return {**found, "python": platform.python_version(), "platform": system}


def _version_or_none(package: str) -> str:
    try:
        return package_version(package)
    except PackageNotFoundError:
        return "not installed"

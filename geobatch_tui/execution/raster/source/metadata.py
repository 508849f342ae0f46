"""Reads the metadata of a source that a GeoTIFF can hold and that stays true in the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rasterio.io import DatasetReader

#: Domains about the file and not about the data; ``rio_creation_kwds`` is rasterio's own.
_OF_THE_FILE = frozenset({
    "", "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "rio_creation_kwds",
})  # fmt: skip
#: Domains in the TIFF itself that stay true wherever the pixels go.
_TRUE = ("COLOR_PROFILE", "IMAGERY")
#: Domains that stay true as long as no pixel moves.
XMP = "xml:XMP"
_IN_PLACE = (*_TRUE, "RPC", XMP)
ICC = "SOURCE_ICC_PROFILE"


def domains(
    dataset: DatasetReader, warnings: list[str], *, moved: bool
) -> dict[str, dict[str, str]]:
    """Return the metadata of ``dataset`` by domain, without the default domain.

    ``warnings`` gets one that names the domains that are left out. ``moved``: the output has its
    pixels in other places.
    """
    names = set(dataset.tag_namespaces()) - _OF_THE_FILE
    if not names:
        return {}
    kept = {
        name: {key: str(value) for key, value in dataset.tags(ns=name).items()}
        for name in (_TRUE if moved else _IN_PLACE)
        if name in names
    }
    if ICC not in kept.get("COLOR_PROFILE", {ICC: ""}):  # by primaries, which are seldom used
        del kept["COLOR_PROFILE"]
    if left := sorted(names - kept.keys()):
        warnings.append(f"metadata of these domains is left out: {', '.join(left)}")
    return kept


def of_bands(dataset: DatasetReader, added: int) -> tuple[dict[str, str], ...]:
    """Return the metadata of each band, without statistics, and of ``added`` bands; empty if there
    is none."""
    own = [
        {k: str(v) for k, v in dataset.tags(band).items() if not k.startswith("STATISTICS_")}
        for band in dataset.indexes
    ]
    return (*own, *({} for _ in range(added))) if any(own) else ()


def warn_of_bits(dataset: DatasetReader, warnings: list[str]) -> None:
    """Warn of pixels with fewer bits than the output's."""
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    if bits is not None:
        warnings.append(
            f"pixels of {bits} bit{'s' if bits != '1' else ''} are written as {dataset.dtypes[0]}"
        )


def moved(domains: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return those of ``domains`` that stay true where pixels lie in other places."""
    return {name: tags for name, tags in domains.items() if name in _TRUE}

"""What a source says beside its pixels, as far as a GeoTIFF can keep it and it stays true."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rasterio.io import DatasetReader

#: Domains that tell of the file and not of the data; ``rio_creation_kwds`` is rasterio's own.
_OF_THE_FILE = frozenset({
    "", "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "rio_creation_kwds",
})  # fmt: skip
#: Domains that lie in the TIFF itself, and stay true wherever the pixels go.
_TRUE = ("COLOR_PROFILE", "IMAGERY")
#: Domains that hold as long as no pixel moves.
XMP = "xml:XMP"
_IN_PLACE = (*_TRUE, "RPC", XMP)
ICC = "SOURCE_ICC_PROFILE"


def domains(
    dataset: DatasetReader, warnings: list[str], *, moved: bool
) -> dict[str, dict[str, str]]:
    """Metadata of ``dataset`` by domain, but for the default one; ``told`` gets a warning that
    names the domains that are left out. ``moved``: pixels come to lie elsewhere."""
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
    """Metadata of each band without statistics, which a reader makes anew, and of ``added`` bands;
    empty if no band has any."""
    found = [_without_statistics(dataset.tags(band).items()) for band in dataset.indexes]
    return (*found, *({} for _ in range(added))) if any(found) else ()


def _without_statistics(tags: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {key: str(value) for key, value in tags if not key.startswith("STATISTICS_")}


def tell_of_bits(dataset: DatasetReader, warnings: list[str]) -> None:
    """Warn, in ``told``, of pixels with fewer bits than the output's have."""
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    if bits is not None:
        warnings.append(
            f"pixels of {bits} bit{'s' if bits != '1' else ''} are written as {dataset.dtypes[0]}"
        )

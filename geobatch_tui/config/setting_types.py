"""Types of settings: what a job file may write, and the value that the program gets.

Each reads both forms and writes the first, so a dumped job loads again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Strict,
    Tag,
)
from pydantic import WithJsonSchema as JsonSchema

from geobatch_tui.config import crs, units
from geobatch_tui.config.catalog.stac_source import StacSource
from geobatch_tui.config.paths import is_remote
from geobatch_tui.config.problems import nearest
from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.execution.stores.output_prefix import OutputPrefix, is_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

#: Options that some output format here understands. Whether one fits the codec, the data type
#: and the format is checked by the operation, when it probes the source.
CREATION_OPTIONS = frozenset({
    "add_mask", "bigtiff", "blocksize", "blockxsize", "blockysize", "compress", "interleave",
    "jpeg_quality", "level", "lossless", "max_z_error", "overview_count", "overview_resampling",
    "overviews", "predictor", "quality", "sort_by_bbox", "sparse_ok", "tiled", "webp_level",
    "webp_lossless", "zlevel", "zstd_level",
})  # fmt: skip


def nearest_option(name: str) -> str:
    """Say what may be meant by ``name``: the nearest known option, else all of them."""
    return nearest(name.lower(), CREATION_OPTIONS, show=len(CREATION_OPTIONS))


def check_creation(options: Mapping[object, object]) -> dict[str, object]:
    """Return ``options`` with lower-case names. Raises ValueError if one is unknown, or given twice
    in different case."""
    checked: dict[str, object] = {}
    for name, value in options.items():
        low = str(name).lower()
        if low not in CREATION_OPTIONS:
            raise ValueError(f"{name!r} is not a creation option; {nearest_option(low)}")
        if low in checked:
            raise ValueError(f"{low!r} is given twice, in upper and lower case")
        checked[low] = value
    return checked


def _optional[T](word: str, parse: Callable[[str], T]) -> Callable[[str | None], T | None]:
    return lambda value: None if value is None or value == word else parse(value)


def _write[T](word: str, text: Callable[[T], str]) -> PlainSerializer:
    return PlainSerializer(lambda value: word if value is None else text(value), return_type=str)


def _positive[T: (int, float)](parse: Callable[[str], T]) -> Callable[[str], T]:
    def checked(text: str) -> T:
        value = parse(text)
        if value == 0:
            raise ValueError("must be more than 0")
        return value

    return checked


def _path(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _output_place(text: str) -> str:
    if not is_remote(text):
        return text
    try:
        return str(OutputPrefix.of(text))
    except UnsafeInputError as error:
        why = f": {error.message}" if is_prefix(text) else ""
        raise ValueError(
            "must be a local directory, or a prefix in a store, s3://, gs:// or az://bucket/prefix"
            + why
        ) from None


_TEXT = JsonSchema({"type": ["string", "number"]})
#: "90s" or a number: seconds.
Duration = Annotated[
    float, BeforeValidator(units.parse_duration), _write("", units.format_duration), _TEXT
]
#: The same, more than 0; "auto": None.
AutoDuration = Annotated[
    float | None,
    BeforeValidator(_optional("auto", _positive(units.parse_duration))),
    _write("auto", units.format_duration),
    _TEXT,
]
#: The same; "": None.
NoDuration = Annotated[
    float | None,
    BeforeValidator(_optional("", _positive(units.parse_duration))),
    _write("", units.format_duration),
    _TEXT,
]
#: "4GiB" or a number: bytes; "auto": None.
AutoBytes = Annotated[
    int | None,
    BeforeValidator(_optional("auto", _positive(units.parse_bytes))),
    _write("auto", units.format_bytes),
    _TEXT,
]
#: "100" or "5%": FailureLimit; "": None.
NoLimit = Annotated[
    units.FailureLimit | None,
    BeforeValidator(_optional("", units.parse_failure_limit)),
    _write("", str),
    _TEXT,
]
#: A CRS that exists, as far as can be told without PROJ; "" where there is none.
CrsText = Annotated[str, AfterValidator(lambda text: crs.check_crs(text).text if text else "")]
CreationOptions = Annotated[
    dict[str, bool | int | float | str],
    BeforeValidator(lambda value: check_creation(value) if isinstance(value, Mapping) else value),
]
#: A path, a pattern or a URL. No length constraint of pydantic's: it refuses undecodable names.
PathText = Annotated[str, AfterValidator(_path)]
_Input = Annotated[
    Annotated[PathText, Tag("path")] | Annotated[StacSource, Tag("catalogue")],
    Discriminator(lambda value: "catalogue" if isinstance(value, StacSource | Mapping) else "path"),
]
#: A list of these and of catalogues, or one of them.
Inputs = Annotated[
    tuple[_Input, ...],
    Field(min_length=1),
    Strict(strict=False),
    BeforeValidator(lambda value: (value,) if isinstance(value, str | Mapping) else value),
]
#: A local directory, or a prefix in a store.
OutputPlace = Annotated[PathText, AfterValidator(_output_place)]

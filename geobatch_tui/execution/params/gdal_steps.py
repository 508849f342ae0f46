"""What the pipelines of GDAL 3.13 have: each step with its arguments, held by a test against GDAL.

What stands here and has no parameters of ours is refused by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Steps of pipelines on rasters, with their long names of arguments.
RASTER_STEPS: dict[str, str] = {
    "as-features": "band geometry-type skip-nodata include-xy include-row-col",
    "aspect": "band convention gradient-alg zero-for-flat no-edges",
    "blend": "overlay operator opacity",
    "calc": "output-data-type no-check-crs no-check-extent propagate-nodata calc dialect flatten "
    "nodata",
    "clean-collar": "color color-threshold pixel-distance add-alpha add-mask algorithm",
    "clip": "bbox bbox-crs window geometry geometry-crs like like-sql like-layer like-where "
    "only-bbox allow-bbox-outside-source add-alpha",
    "color-map": "band color-map add-alpha color-selection",
    "compare": "reference skip-all-optional skip-binary skip-crs skip-geotransform skip-overview "
    "skip-metadata skip-rpc skip-geolocation skip-subdataset return-code",
    "contour": "output-layer band elevation-name min-name max-name 3d input-nodata interval levels "
    "exp-base offset polygonize group-transactions",
    "create": "size band-count output-data-type nodata burn crs bbox metadata copy-metadata "
    "copy-overviews",
    "edit": "band crs bbox nodata color-interpretation color-map scale offset metadata "
    "unset-color-table unset-metadata unset-metadata-domain gcp stats approx-stats hist",
    "fill-nodata": "band max-distance smoothing-iterations mask strategy",
    "footprint": "output-layer band combine-bands overview input-nodata coordinate-system "
    "output-crs split-multipolygons convex-hull densify-distance simplify-tolerance min-ring-area "
    "max-points location-field no-location-field absolute-path",
    "hillshade": "band zfactor xscale yscale azimuth altitude gradient-alg variant no-edges",
    "info": "min-max stats approx-stats hist no-gcp no-md no-ct no-fl checksum list-mdd "
    "metadata-domain no-nodata no-mask subdataset crs-format",
    "materialize": "output-format creation-option overwrite",
    "mosaic": "band absolute-path resolution bbox target-aligned-pixels input-nodata output-nodata "
    "hide-nodata add-alpha pixel-function pixel-function-arg",
    "neighbors": "band method size kernel output-data-type nodata",
    "nodata-to-alpha": "nodata",
    "overview": "",
    "pansharpen": "spectral resampling weights nodata bit-depth spatial-extent-adjustment "
    "num-threads",
    "pixel-info": "position-dataset input-layer band overview position position-crs resampling "
    "promote-pixel-value-to-z include-field",
    "polygonize": "output-layer band attribute-name connect-diagonal-pixels",
    "proximity": "output-data-type band target-values distance-units max-distance fixed-value "
    "nodata",
    "reclassify": "mapping output-data-type",
    "reproject": "input-crs like output-crs resampling resolution size bbox bbox-crs "
    "target-aligned-pixels input-nodata output-nodata add-alpha warp-option transform-option "
    "error-threshold num-threads",
    "resize": "resolution size resampling",
    "rgb-to-palette": "color-count color-map output-nodata no-dither bit-depth",
    "roughness": "band no-edges",
    "scale": "output-data-type band input-min input-max output-min output-max exponent no-clip",
    "select": "band exclude mask",
    "set-type": "output-data-type",
    "sieve": "mask band size-threshold connect-diagonal-pixels",
    "slope": "band unit xscale yscale gradient-alg no-edges",
    "stack": "band absolute-path resolution bbox target-aligned-pixels input-nodata output-nodata "
    "hide-nodata",
    "tee": "",
    "tile": "tiling-scheme min-zoom max-zoom min-x max-x min-y max-y no-intersection-ok resampling "
    "overview-resampling convention tile-size add-alpha no-alpha output-nodata skip-blank metadata "
    "copy-src-metadata aux-xml kml resume num-threads parallel-method excluded-values "
    "excluded-values-pct-threshold nodata-values-pct-threshold webviewer url title copyright "
    "mapml-template",
    "tpi": "band no-edges",
    "tri": "band algorithm no-edges",
    "unscale": "output-data-type",
    "update": "geometry geometry-crs resampling warp-option transform-option error-threshold "
    "no-update-overviews",
    "viewshed": "position height sd-filename target-height mode max-distance min-distance "
    "start-angle end-angle high-pitch low-pitch curvature-coefficient band visible-value "
    "invisible-value maybe-visible-value out-of-range-value output-nodata observer-spacing "
    "num-threads",
    "zonal-stats": "band zones zones-band zones-layer weights weights-band pixels stat "
    "include-field include-geom strategy chunk-size",
}  # fmt: skip

#: Defaults of GDAL's that are not those here.
DEFAULTS: dict[str, dict[str, object]] = {
    "calc": {"propagate_nodata": False},
    "reproject": {"error_threshold": 0.125},
}

#: Steps of pipelines on features, with theirs.
VECTOR_STEPS: dict[str, str] = {
    "buffer": "active-layer active-geometry distance endcap-style join-style mitre-limit "
    "quadrant-segments side",
    "check-coverage": "include-valid geometry-field maximum-gap-width",
    "check-geometry": "include-field include-valid geometry-field",
    "clean-coverage": "active-layer snapping-distance merge-strategy maximum-gap-width",
    "clip": "active-layer bbox bbox-crs geometry geometry-crs like like-sql like-layer like-where",
    "combine": "group-by keep-nested add-extra-fields",
    "concat": "mode source-layer-field-name source-layer-field-content field-strategy input-crs "
    "output-crs",
    "concave-hull": "active-layer active-geometry ratio allow-holes tight",
    "convex-hull": "active-layer active-geometry",
    "create": "geometry-type geometry-field crs fid schema field",
    "dissolve": "active-layer active-geometry",
    "edit": "active-layer geometry-type crs metadata unset-metadata layer-metadata "
    "unset-layer-metadata unset-fid",
    "explode-collections": "active-layer active-geometry geometry-type skip-on-type-mismatch",
    "export-schema": "",
    "filter": "active-layer bbox where update-extent",
    "grid": "",
    "info": "features summary limit sql where fid dialect crs-format",
    "layer-algebra": "operation method overwrite-layer method-layer geometry-type input-prefix "
    "input-field no-input-field all-input-field method-prefix method-field no-method-field "
    "all-method-field",
    "make-point": "x y z m output-crs",
    "make-valid": "active-layer active-geometry method keep-lower-dim",
    "partition": "field scheme pattern feature-limit max-file-size omit-partitioned-field "
    "skip-errors",
    "rasterize": "band invert all-touched burn attribute-name 3d where sql dialect nodata init "
    "crs transformer-option extent resolution target-aligned-pixels size output-data-type "
    "optimization add",
    "rename-layer": "ascii lower-case filename-compatible reserved-characters "
    "replacement-character max-length",
    "reproject": "active-layer input-crs output-crs",
    "segmentize": "active-layer active-geometry max-length",
    "select": "active-layer fields exclude ignore-missing-fields",
    "set-field-type": "active-layer field-name input-field-type field-type",
    "set-geom-type": "active-layer active-geometry layer-only feature-only geometry-type multi "
    "single linear curve dim skip",
    "simplify": "active-layer active-geometry tolerance",
    "simplify-coverage": "active-layer tolerance preserve-boundary",
    "sort": "geometry-field method use-tempfile",
    "sql": "sql dialect",
    "swap-xy": "active-layer active-geometry",
    "update": "mode key",
    "limit": "",
    "materialize": "",
    "tee": "",
}  # fmt: skip

#: Steps of newer GDALs that have another name here.
NEWER_NAMES = {"astype": "set-type"}

#: Arguments that are given without their name, in order, beside input and output.
POSITIONAL = {
    "blend": ("overlay",), "buffer": ("distance",), "pansharpen": ("spectral",),
    "segmentize": ("max_length",), "select": ("band", "fields"), "simplify": ("tolerance",),
}  # fmt: skip

#: The order of all such arguments, where a command of one step has another than input, output and
#: its own.
COMMAND_ORDER = {
    "blend": ("input", "overlay", "output"),
    "pansharpen": ("input", "spectral", "output"),
}

#: Lists of text whose values are given one by one, for they may hold commas.
ONE_BY_ONE = frozenset({"calc", "gcp", "kernel", "metadata", "transform_option", "warp_option"})

#: Other words for values, by the argument.
OTHER_VALUES = {"resampling": {"near": "nearest"}}

#: Arguments of *read*, by any of their names.
READ = {"input": "input", "i": "input"}
#: What *read* has and a job has not, for it chooses the driver of a file by its content.
READ_REFUSED = {"input-format", "if", "open-option", "oo"}
#: What names the layer that *read* reads, of files of features.
READ_LAYER = frozenset({"input-layer", "layer", "l"})

#: Arguments of *write*, by any of their names.
WRITE = {
    "output": "dir", "o": "dir",
    "output-format": "format", "format": "format", "of": "format", "f": "format",
    "creation-option": "creation", "co": "creation",
    "overwrite": "overwrite",
}  # fmt: skip

#: Arguments of all commands that have no meaning for a job, and whether they take a value.
UNUSED = {"quiet": False, "q": False, "progress": False, "num-threads": True, "j": True}


#: Formats that jobs write, by GDAL's names in small letters.
FORMATS = {
    "cog": "COG", "esri shapefile": "Shapefile", "flatgeobuf": "FlatGeobuf", "geojson": "GeoJSON",
    "geojsonseq": "GeoJSONSeq", "gpkg": "GPKG", "gtiff": "GTiff", "parquet": "GeoParquet",
}  # fmt: skip


def arguments_of(step: str, steps: Mapping[str, str] = RASTER_STEPS) -> tuple[str, ...]:
    """Return the long names of the arguments of one of GDAL's ``steps``; none for one that it has
    not."""
    return tuple(steps.get(step, "").split())

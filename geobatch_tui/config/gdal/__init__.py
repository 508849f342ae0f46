"""Words of GDAL as jobs: pipelines, commands of one step, and ``.gdalg.json`` files."""

"""Operations for tests and benchmarks: one that does nothing, one that misbehaves on request.

They become known to the engine and its workers through the variable ``GEOBATCH_OPS``::

    GEOBATCH_OPS=geobatch_tui.testing.ops:NOOP,geobatch_tui.testing.ops:FAULTY

``test.noop`` costs nothing and writes next to nothing: it measures the engine. ``test.faulty``
writes a few deterministic bytes for each chunk into a real spool, so that the outputs of two runs
can be compared, and lets chosen chunks crash, hang, exit, raise, flood or allocate. Neither needs
GDAL.
"""

OPS = "geobatch_tui.testing.ops:NOOP,geobatch_tui.testing.ops:FAULTY"

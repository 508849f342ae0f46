"""Takes the states and figures of chunks and where they lie; gives pixels. No Textual in here, and
no widget.

Nor numpy: states are bytes, a row of them is one large number, and tables are applied by
``bytes.translate``. Measured with ``benchmarks/chunk_map.py`` in milliseconds of CPU at 160x48, a
full paint takes 4 for 10,000 chunks of one item, 7 for 1,000,000, 17 for 882 items and 44 for
10,000 items; a tick takes 3, a move of the cursor 0.3. The part that numpy would do, to join the
chunks of each pixel, takes 1.4 of the 7, with numpy 1.0. To import numpy would cost the console
180 ms of CPU and 15 MB of memory beside its own 43.
"""

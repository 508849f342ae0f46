"""The map of chunks: pure pictures (codes, planes, scenes), and the widget that shows them."""

from __future__ import annotations

from geobatch_tui.tui.widgets.chunk_map.widget import ChunkMap

__all__ = ["ChunkMap"]

"""The stack of a run's pictures: the ground, then the grid of an opened item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.tui.map.picture.grid import GridScene
from geobatch_tui.tui.map.picture.ground import GroundScene
from geobatch_tui.tui.map.picture.planes import Grid, Planes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geobatch_tui.tui.map.picture.scene import Dirty, Scene
    from geobatch_tui.tui.run.model import ItemView


class Source(Protocol):
    """A source of the map; `RunStore` is one."""

    @property
    def states(self) -> bytearray:
        """States of chunks, a byte each."""

    @property
    def items(self) -> Sequence[ItemView]:
        """Items of the run, in order."""

    def item_at(self, position: int) -> ItemView:
        """Return the item of a chunk."""

    def item(self, item_id: int) -> ItemView | None:
        """Return the item of an id."""

    def figures(self, name: str) -> Sequence[float]:
        """Read a figure of all chunks from the ledger."""

    def figures_at(self, positions: Iterable[int], name: str) -> Mapping[int, float]:
        """Read a figure of some chunks from the ledger."""


class Pictures:
    """Pictures of a run, of which the top one is shown.

    Many items lie on the ground; one item, or items of which no place is known, are a grid.

    Attributes:
        planes: states and figures of all chunks.
        items: as they were when the pictures were made.
        loaded: whether anything was; until then a grid without chunks is shown.
    """

    def __init__(self, source: Source) -> None:
        self.planes = Planes()
        self.items: Sequence[ItemView] = ()
        self.loaded = False
        self._source = source
        self._views: list[Scene] = [GridScene(self.planes, Grid.square(0, 0))]
        self._opened = 0
        self._size = (0, 0)
        self._unplaced: list[ItemView] = []

    @property
    def top(self) -> Scene:
        """The picture that is shown."""
        return self._views[-1]

    @property
    def ground(self) -> GroundScene | None:
        """The ground, if there is one, shown or not."""
        base = self._views[0]
        return base if isinstance(base, GroundScene) else None

    @property
    def opened(self) -> ItemView | None:
        """The item whose grid is shown; None: all items are."""
        if self._opened:
            return self._source.item(self._opened)
        return self.items[0] if len(self.items) == 1 else None

    @property
    def stacked(self) -> bool:
        """Whether there is a picture below the top one."""
        return len(self._views) > 1

    @property
    def unplaced(self) -> list[ItemView]:
        """Items that the ground leaves out, as their places are not known."""
        return self._unplaced if isinstance(self.top, GroundScene) else []

    # --- following ------------------------------------------------------------------------------

    def resize(self, width: int, height: int) -> None:
        """Set the size in pixels."""
        self._size = width, height
        for scene in self._views:
            scene.resize(width, height)

    def touch(self, changed: Sequence[int]) -> Dirty | None:
        """Update the states of some chunks; return the pixels to repaint, None: no such chunk is
        known."""
        states = self._source.states
        limit = min(len(states), len(self.planes.flags))
        known = [position for position in changed if position < limit]
        if not known:
            return None
        self.planes.touch(known, states)
        return self.top.touch(known)

    def paint(self) -> None:
        """Paint the top picture, as it shows something else of the chunks now."""
        self.top.paint()

    def load(self) -> bool:
        """Load the whole run; return whether items came, went or moved. Pictures that are still
        there keep cursor and view."""
        before, self.items = self.items, tuple(self._source.items)
        self._unplaced = [item for item in self.items if item.bounds_lonlat is None]
        self.planes.load(self._source.states)
        if self.loaded and _alike(before, self.items):
            self.paint()
            return False
        self.loaded = True
        base, top = self._base(), self.top
        item = self._source.item(self._opened) if self._opened else None
        self._views = [base]
        if item is not None and isinstance(top, GridScene) and top is not base:
            top.retarget(Grid.of(item))
            self._views.append(top)
        else:
            self._opened = 0
        self.resize(*self._size)
        return True

    def _base(self) -> Scene:
        """Return the lowest picture: the present one, if it still fits."""
        old = self._views[0]
        if len(self.items) > 1 and any(item.bounds_lonlat for item in self.items):
            if not isinstance(old, GroundScene):
                return GroundScene(self.planes, self.items)
            old.retarget(self.items)
            return old
        grid = Grid.square(0, len(self.planes.flags))
        if len(self.items) == 1:
            grid = Grid.of(self.items[0])
        if not isinstance(old, GridScene):
            return GridScene(self.planes, grid)
        old.retarget(grid)
        return old

    # --- moving about ---------------------------------------------------------------------------

    def frame(self, positions: Sequence[int]) -> None:
        """Show chunks in a rectangle, the cursor on the first: in the grid of their item, or on
        the ground if they are of several."""
        known = [at for at in positions if 0 <= at < len(self.planes.flags)]
        if not known:
            return
        several = len({self._source.item_at(at).item_id for at in known}) > 1
        if several and self.ground is not None:
            self.back()
            self.top.go(known[0])
        else:
            self.show(known[0])
        self.top.frame(known)

    def show(self, position: int) -> None:
        """Show a chunk in its grid, the cursor on it."""
        if not 0 <= position < len(self.planes.flags):
            return
        item = self._source.item_at(position)
        if self._opened and self._opened != item.item_id:
            self.back()
        if isinstance(self.top, GroundScene):
            self._opened = item.item_id
            scene = GridScene(self.planes, Grid.of(item))
            self._views.append(scene)
            scene.resize(*self._size)
        self.top.go(position)

    def back(self) -> None:
        """Leave the opened item."""
        if self.stacked:
            self._views.pop()
            self._opened = 0
            self.paint()

    def dead(self, *, back: bool) -> bool:
        """Go to the next dead chunk in the order of the run; whether there is one. On the ground
        the cursor goes there, unless its place is not known."""
        here = self.top.worst()
        found = self.planes.find(ChunkState.DEAD, -1 if here is None else here, back=back)
        if found is None:
            return False
        self.point_at(found)
        return True

    def point_at(self, position: int) -> None:
        """Put the cursor on a chunk: where the ground is shown, there, unless its place is not
        known."""
        if not 0 <= position < len(self.planes.flags):
            return
        item_id = self._source.item_at(position).item_id
        if isinstance(self.top, GroundScene) and item_id in self.top.placed:
            self.top.go(position)
        else:
            self.show(position)


def _alike(before: Sequence[ItemView], after: Sequence[ItemView]) -> bool:
    """Whether items lie and stand where they did."""
    return len(before) == len(after) and all(
        a is b or _place(a) == _place(b) for a, b in zip(before, after, strict=True)
    )


def _place(item: ItemView) -> tuple[object, ...]:
    return item.item_id, item.first, item.n, item.columns, item.bounds_lonlat

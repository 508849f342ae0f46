"""Memory that is used again: pages of a new array are cleared one by one, which takes longer than
to fill them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Room:
    """Byte arrays by what they are used for, each as large as it had to be so far."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.uint8]] = {}

    def of(self, use: str, size: int) -> NDArray[np.uint8]:
        """``size`` bytes, with anything in them. The array given for ``use`` before is the same
        memory."""
        held = self._held.get(use)
        if held is None or len(held) < size:
            self._held.pop(use, None)  # or both are there at once
            held = self._held[use] = np.empty(size, np.uint8)
        return held[:size]

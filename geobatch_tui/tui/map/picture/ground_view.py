"""The part of the earth that a picture shows, and how large."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """What of the ground is seen: the middle, degrees of latitude a pixel, and how many degrees of
    longitude are as long as one of latitude."""

    lon: float
    lat: float
    step: float
    squeeze: float
    width: int
    height: int

    def x(self, lon: float) -> float:
        """Pixels from the left, unrounded."""
        return (lon - self.lon) * self.squeeze / self.step + self.width / 2

    def y(self, lat: float) -> float:
        """Pixels from the top, unrounded."""
        return (self.lat - lat) / self.step + self.height / 2

    def lon_at(self, x: float) -> float:
        return self.lon + (x - self.width / 2) * self.step / self.squeeze

    def lat_at(self, y: float) -> float:
        return self.lat - (y - self.height / 2) * self.step

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return (
            self.lon_at(0),
            self.lat_at(self.height),
            self.lon_at(self.width),
            self.lat_at(0),
        )

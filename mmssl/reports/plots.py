"""What all plots of a report have in common."""

from dataclasses import dataclass, field
from typing import Any

# Okabe and Ito's, which colour-blind readers tell apart, in an order that suits light and dark.
COLOURS = ('#1f7fc4', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#56b4e9', '#7f7f7f', '#8c564b')


@dataclass
class Figure:
    """A plot.

    Attributes:
        name: of its place in the page.
        title: what stands above it.
        note: how to read it.
        data: traces.
        layout: of plotly.
        smooth: whether its lines can be smoothed.
        method: the method it is of, where the page shows one method at a time.
    """

    name: str
    title: str
    note: str
    data: list[dict[str, Any]]
    layout: dict[str, Any] = field(default_factory=dict)
    smooth: bool = False
    method: str = ''

    def spec(self) -> dict[str, Any]:
        """Return what the page's script needs."""
        return {'data': self.data, 'layout': self.layout, 'smooth': self.smooth}


def colour_of(number: int) -> str:
    """Return the colour of the n-th row or term."""
    return COLOURS[number % len(COLOURS)]


def axes(x: str, y: str, **more: Any) -> dict[str, Any]:
    """Return a layout with titles of its axes."""
    return {'xaxis': {'title': {'text': x}}, 'yaxis': {'title': {'text': y}}, **more}

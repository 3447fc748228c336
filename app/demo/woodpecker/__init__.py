"""A simulated Woodpecker, true to what clients meet on the wire. Imports nothing of Lectern."""

from app.demo.woodpecker.server import Woodpecker
from app.demo.woodpecker.state import Run

__all__ = ["Run", "Woodpecker"]

"""A simulated Forgejo, true to what clients meet on the wire. Imports nothing of Lectern."""

from app.demo.forgejo.server import Forgejo

__all__ = ["Forgejo"]

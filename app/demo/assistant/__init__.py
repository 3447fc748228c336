"""The simulated assistant, the demo's voice. Imports nothing of Lectern."""

from app.demo.assistant.responder import Assistant

__all__ = ["Assistant"]

"""Lighthouse: listens to unattended lights, keeps what they say, and wakes one person about it."""

__version__ = "1.4.0"

"""The address of the static files, which changes with their content.

Modules import each other by relative addresses, so one version in the path covers them all: a
browser keeps them for good, and after an upgrade never mixes old ones with new.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).with_name("static")
KEEP_S = 31_536_000


def static_path() -> str:
    """`/static/<version>`; reads some forty small files."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(FOLDER)}\0".encode() + path.read_bytes())
    return f"/static/{digest.hexdigest()[:10]}"

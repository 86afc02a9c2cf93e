"""The few things that differ between operating systems, and small files that are replaced whole."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from .errors import SpoolBusyError

BINARY = getattr(os, "O_BINARY", 0)


def lock(path: Path) -> int:
    """Takes the lock file for this process; the kernel lets go of it when the process ends, however it ends."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise SpoolBusyError(f"{path.parent}: another Tape writes to this spool; give each its own folder") from error
    return fd


def sync_folder(folder: Path) -> None:
    """Makes new names in a folder durable; Windows does so by itself."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_json(path: Path, value: Any) -> None:
    """Replaces the file, old or new but never half. A power cut may bring the older one back."""
    beside = path.with_name(path.name + ".tmp")
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load_json(path: Path) -> Any:
    """The file's value; None when there is none, or none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None

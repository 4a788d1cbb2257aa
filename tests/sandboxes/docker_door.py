"""A visitor of the socket at which a container's wire is handed over."""

import os
import socket
from pathlib import Path


def connect(path: str) -> socket.socket:
    """Connects to a socket however long its path is."""
    folder = os.open(Path(path).parent, os.O_RDONLY)
    visitor = socket.socket(socket.AF_UNIX)
    try:
        visitor.connect(f"/proc/self/fd/{folder}/{Path(path).name}")
    except OSError:
        visitor.close()
        raise
    finally:
        os.close(folder)
    return visitor

"""Running cells in CPython behind any wall: the worker process, its language side, and the host's end of the wire."""

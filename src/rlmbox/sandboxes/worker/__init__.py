"""The runner of cells in CPython, whatever the wall: the worker's process, its language, and the host's end of it."""

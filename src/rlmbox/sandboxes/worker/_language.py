"""The modules of the worker's language side; see `_worker.py`."""

LANGUAGE = ("_values", "_clocks", "_repl")
"""The modules, beside this one, in the order in which they are loaded; each finds those before it in `sys.modules`."""

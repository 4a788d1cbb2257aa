"""The record of a run: its journal, and the readers of a journal."""

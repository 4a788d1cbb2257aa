"""The record of a run: its journal, and what is read out of one."""

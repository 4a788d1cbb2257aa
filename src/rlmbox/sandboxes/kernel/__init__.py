"""Walls that the Linux kernel builds around a process: its calls, a filter of system calls, Landlock."""

"""Isolation of a process by the Linux kernel: system calls, a seccomp filter, Landlock."""

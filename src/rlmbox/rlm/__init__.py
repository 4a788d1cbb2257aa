"""The facade, and what stands behind it: the models that it asks, how its sessions go, and its recorded runs.

`RLM` is light, so that a program that names it starts at once; what does its work is imported when one is made.
"""

from rlmbox.rlm.facade import RLM

__all__ = ["RLM"]

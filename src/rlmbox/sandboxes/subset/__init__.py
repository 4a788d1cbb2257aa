"""`subset`: cells run in a deterministic interpreter for a part of Python that can only compute."""

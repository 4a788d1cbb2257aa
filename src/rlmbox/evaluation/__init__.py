"""Evaluations: whether recursion pays, measured on your own questions."""

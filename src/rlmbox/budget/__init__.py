"""Limits, the ledger that keeps them, and token counts. No input or output."""

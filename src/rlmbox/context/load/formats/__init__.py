"""Readers of documents that are not plain text; they run in the converter's process, with its limits."""

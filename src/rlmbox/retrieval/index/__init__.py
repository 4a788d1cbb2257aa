"""An index in a folder: tantivy for words, a mapped file for vectors."""

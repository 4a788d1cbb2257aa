"""The commands and their options, by what they are for; each calls a module of `rlmbox.cli` that does the work."""

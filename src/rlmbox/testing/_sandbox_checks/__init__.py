"""The checks behind `rlmbox.testing.check_sandbox`, by subject."""

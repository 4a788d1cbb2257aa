"""`python -m rlmbox`, the same as the command `rlmbox`."""

from rlmbox.cli import main

main()

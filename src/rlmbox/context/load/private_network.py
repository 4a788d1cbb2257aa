"""The error for a public address that leads into the machine's own network."""


class LeadsInside(Exception):
    """A public address leads to a private one."""

    def __init__(self) -> None:
        super().__init__("it leads into a private network; give the address there itself if that is meant")

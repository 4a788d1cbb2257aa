"""The refusal of an address of the public internet that leads into the network that the machine is in."""


class LeadsInside(Exception):
    """A public address leads to a private one."""

    def __init__(self) -> None:
        super().__init__("it leads into a private network; give the address there itself if that is meant")

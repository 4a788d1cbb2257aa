"""The command `rlmbox`: arguments to library calls, events to the terminal."""


def main() -> None:
    """Run the command with the process's arguments."""
    from rlmbox.cli.app import app
    from rlmbox.cli.printing import never_fail_to_encode

    never_fail_to_encode()
    app()

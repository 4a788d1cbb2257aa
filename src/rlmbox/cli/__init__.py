"""The command `rlmbox`: arguments to library calls, events to the terminal."""

import sys


def main() -> None:
    """Run the command with the process's arguments."""
    from rlmbox.cli.app import app
    from rlmbox.cli.printing import never_fail_to_encode, open_closed_streams, output_failed

    open_closed_streams()
    never_fail_to_encode()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:  # commands report their own; what comes here is the output itself
        raise SystemExit(output_failed(error)) from None

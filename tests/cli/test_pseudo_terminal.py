"""`rlmbox ask` at a real pseudo-terminal: a run of twelve turns, of which the newest is always on the screen."""

import codecs
import os
import re
import select
import subprocess
import threading
from pathlib import Path

import pytest

from cli.environment import bare
from cli.screen import Screen
from preloaded import rlmbox_at_terminal
from rlmbox.testing import ProviderServer
from rlmbox.testing.provider_server import Script, http_fault
from rlmbox.testing.provider_wire import ProviderReply, ProviderRequest

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

WIDTH, HEIGHT, TURNS = 80, 24, 12
PRICES = '["openai:any"]\ninput_usd_per_mtok = "3"\noutput_usd_per_mtok = "15"\n'


def cell(turn: int) -> str:
    lines = "".join(f"print('line {n} of {turn}')\n" for n in range(4))
    return f"```repl\n{lines}```" if turn < TURNS else "```repl\nFINAL('in May')\n```"


def test_the_newest_turn_is_on_the_screen_and_the_last_line_has_time_and_money(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("It begins in May.")
    (tmp_path / "prices.toml").write_text(PRICES)
    screen = Screen(WIDTH, HEIGHT)
    read, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (HEIGHT, WIDTH))

    turn = 0
    seen = {n: threading.Event() for n in range(1, TURNS + 1)}

    def reply(_: ProviderRequest) -> ProviderReply:
        # The server waits until the turn before is on the screen, so that each one is seen whatever the load.
        nonlocal turn
        assert turn == 0 or seen[turn].wait(60), read
        turn += 1
        return ProviderReply(cell(turn))

    script: Script = [reply, reply, http_fault(429, retry_after="2"), *[reply] * (TURNS - 2)]
    with ProviderServer(script) as server:
        command = [*rlmbox_at_terminal(), "ask", "When?", "-c", "text.txt", "-m", "openai:any"]
        command += ["--prices", "prices.toml", "--cost-limit", "0.50", "--no-record"]
        environment = bare(OPENAI_BASE_URL=server.openai_url, OPENAI_API_KEY="sk-x", TERM="xterm-256color")
        environment.pop("COLUMNS")
        done = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=tmp_path, start_new_session=True
        )
        os.close(slave)
        while True:
            ready, _, _ = select.select([master], [], [], 60)
            assert ready, read
            try:
                data = os.read(master, 65536)
            except OSError:  # Linux says so at the end of a pseudo-terminal
                break
            if not data:
                break
            new = decoder.decode(data)
            read += new
            screen.feed(new)
            found = [int(n) for row in screen.visible() for n in re.findall(r"\bturn (\d+)\b", row)]
            if found:
                seen[max(found)].set()
        os.close(master)
        assert done.wait(60) == 0, read
    assert all(each.is_set() for each in seen.values())
    assert re.search(r"\d s, \$0\.\d{4} of \$0\.50, 429, sent again in \d s", read), read
    assert any("in May" in row for row in screen.visible())
    everything = "\n".join(screen.everything())
    assert [len(re.findall(rf"turn {n}\b", everything)) for n in range(1, TURNS + 1)] == [1] * TURNS

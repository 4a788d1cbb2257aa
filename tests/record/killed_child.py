"""A process that runs or resumes the recorded run of the tests, and may be killed by its own hand after an event.

    python killed_child.py STORE LOG KILL_AT
    python killed_child.py serve

KILL_AT is how many events this process records before it ends with SIGKILL; 0 for none. LOG is what the provider saw:
a line when a request comes. With `threads` a cell's calls come from threads, in a sandbox that has them.
To `serve` is to fork one for each line of standard input, which has its arguments as JSON, and to say how it ended;
that saves loading everything for each, also what a run loads late.
"""

import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parents[1]))

from recorded_runs import models, recording_rlm
from rlmbox.events import Event
from rlmbox.guard import Guard
from rlmbox.record.past import Past
from rlmbox.record.sqlite_store import SqliteStore
from rlmbox.reply.parse import parse_reply
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Message
from runs import TEXT


class Logged:
    """A model whose requests are counted where the process cannot take them along."""

    def __init__(self, model: ScriptedModel, log: int) -> None:
        self._model = model
        self._log = log
        self.name, self.window_tokens, self.price = model.name, model.window_tokens, model.price

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        asked = f"{self.name} {len(messages)} {hash_of(messages)}"
        os.write(self._log, f"asked {asked}\n".encode())
        await anyio.sleep(0.002)
        return await self._model.complete(messages, max_output_tokens=max_output_tokens, timeout_s=timeout_s)


def hash_of(messages: Sequence[Message]) -> str:
    import hashlib

    return hashlib.sha256(repr(messages).encode()).hexdigest()[:16]


def main(store_path: str, log_path: str, kill_at: int, *, late_s: float = 0.0, threads: bool) -> None:
    log = os.open(log_path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    seen = 0

    def die(_event: Event) -> None:
        nonlocal seen
        seen += 1
        if seen == kill_at and not late_s:
            os.kill(os.getpid(), signal.SIGKILL)
        elif seen == kill_at:  # whatever it is at by then, also in the middle of a write
            threading.Timer(late_s, os.kill, (os.getpid(), signal.SIGKILL)).start()

    store = SqliteStore(store_path)
    events = store.events("audit")
    if events and Past(events).is_over:
        kill_at = 0  # what is left is to say the answer, and a kill in each of its replays would never let it
    root, sub = models(threads=threads)
    options = {"sandbox": lambda: LocalSandbox(unsafe_no_isolation=True)} if threads else {}
    rlm = recording_rlm(Logged(root, log), Logged(sub, log), store, [die], **options)  # type: ignore[arg-type]
    answer = rlm.resume("audit") if events else rlm.ask("How?", TEXT, run_id="audit")
    print(answer.text)  # noqa: T201
    store.close()


def load() -> None:
    """Import what a run imports late, as one in another process tells: this one is to have no threads when it forks."""
    with tempfile.TemporaryDirectory() as folder:
        told, tell = os.pipe()
        if os.fork() == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            for threads in (False, True):
                main(f"{folder}/{threads}.db", f"{folder}/log", 0, threads=threads)
            os.write(tell, " ".join(sys.modules).encode())
            os._exit(0)
        os.close(tell)
        with open(told) as names:  # noqa: PTH123 - a pipe
            late = names.read().split()
        os.wait()
    for name in late:
        if name.partition(".")[0] in ("anyio", "importlib", "markdown_it", "mdurl", "pydantic", "rlmbox"):
            importlib.import_module(name)
    recording_rlm(*models(), None)
    Guard().warm()
    parse_reply("```repl\nprint(1)\n```\n\nFINAL(1)")


def serve() -> None:
    load()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            for name, number in (("out", 1), ("err", 2)):
                os.dup2(os.open(request[name], os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), number)
            code = 1
            try:
                main(
                    request["store"],
                    request["log"],
                    request["kill_at"],
                    late_s=request["late_s"],
                    threads=request["threads"],
                )
                code = 0
            except Exception:  # noqa: BLE001 - the supervisor reads it
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), threads=False)

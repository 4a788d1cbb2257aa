"""An MCP server for tests, made with the official SDK: `python server.py stdio` or `python server.py http`.

Over HTTP it prints its port first. `NAME` names it, `KEY` is a key that it should keep to itself.
"""

import asyncio
import os
import socket
import sys
from typing import Literal

import uvicorn
from mcp.server import MCPServer
from mcp.types import ImageContent, TextContent
from pydantic import BaseModel

server = MCPServer(os.environ.get("NAME", "contracts"))


class Order(BaseModel):
    id: int
    colour: Literal["red", "blue"] = "red"


@server.tool()
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    The second is one if it is left out.
    """
    return a + b


@server.tool()
def buy(order: Order, note: str | None = None) -> dict[str, object]:
    """Buy what was ordered."""
    return {"id": order.id, "colour": order.colour, "note": note}


@server.tool()
def peek() -> str:
    """Have the name of a function of the REPL."""
    return "peeked"


@server.tool(name="get-weather")
def weather(city: str) -> str:
    """Return the weather."""
    return f"rain in {city}"


@server.tool()
def fails(why: str) -> str:
    """Fail."""
    raise ValueError(f"{why}, with {os.environ.get('API_KEY', 'no key')}")


@server.tool()
def tells() -> str:
    """Tell the key."""
    return f"the key is {os.environ.get('API_KEY', 'not here')}"


@server.tool()
def picture() -> list[TextContent | ImageContent]:
    """Return a picture."""
    return [TextContent(text="a dot"), ImageContent(data="aGVsbG8=", mime_type="image/png")]


@server.tool(structured_output=False)
def plain() -> str:
    """Return a text and nothing else."""
    return "only words"


@server.tool()
async def hangs() -> str:
    """Hang."""
    await asyncio.sleep(600)
    return "late"


@server.tool()
def dies() -> str:
    """End the server."""
    sys.stderr.write("the disk is full\n")
    sys.stderr.flush()
    os._exit(3)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run()
    else:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()  # before anybody knows the port
            print(listening.getsockname()[1], flush=True)  # noqa: T201 - who started it reads the port
            app = server.streamable_http_app()
            uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listening])

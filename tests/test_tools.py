"""A user's functions in the REPL: what the model is told of them, what they are given, and what comes of a call."""

import asyncio
import dataclasses
import enum
import functools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal

import anyio
import pytest
from pydantic import BaseModel, Field, SecretStr

from rlmbox import RLM, Limits, Tool
from rlmbox.errors import ConfigError, ModelError
from rlmbox.record.journal import MemoryStore
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm, said_to

KEY = "sk-live-4f9aQ7zL2mX8"
SANDBOXES = {
    "monty": "monty", "jail": "jail", "local": lambda: LocalSandbox(unsafe_no_isolation=True)
}  # fmt: skip


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Order(BaseModel):
    """An order."""

    id: int
    colour: Colour = Colour.RED


@dataclasses.dataclass
class Customer:
    name: str
    orders: list[Order]


async def value(code: str, *tools: Any, **options: Any) -> Any:
    asked = rlm(repl(f"FINAL({code})"), "FINAL(no value)", tools=tools, **options)
    return (await asked.aask("?", TEXT)).value


async def told(code: str, *tools: Any, **options: Any) -> str:
    """What the model is told of a cell."""
    asked = rlm(repl(code), "FINAL(ok)", tools=tools, **options)
    assert (await asked.aask("?", TEXT)).text == "ok"
    return said_to(asked.model)


def prompt_of(*tools: Any) -> str:
    asked = rlm("FINAL(ok)", tools=tools)
    asked.ask("?", TEXT)
    return str(asked.model.requests[0][0].content)  # type: ignore[attr-defined]


def plain(x: int) -> int:
    """Double."""
    return 2 * x


async def in_the_loop(x: int) -> int:
    """Double."""
    await asyncio.sleep(0)
    return 2 * x


class Doubler:
    def __call__(self, x: int) -> int:
        """Double."""
        return 2 * x

    def method(self, x: int) -> int:
        """Double."""
        return 2 * x


class AsyncDoubler:
    async def __call__(self, x: int) -> int:
        """Double."""
        return 2 * x


def scaled(factor: int, x: int) -> int:
    """Double."""
    return factor * x


KINDS = {
    "plain": plain,
    "async": in_the_loop,
    "a method": Tool(Doubler().method, name="plain"),
    "an object": Tool(Doubler(), name="plain"),
    "an async object": Tool(AsyncDoubler(), name="plain"),
    "a partial": Tool(functools.partial(scaled, 2), name="plain"),
    "an async partial": Tool(functools.partial(in_the_loop), name="plain"),
    "a lambda that returns a coroutine": Tool(lambda x: in_the_loop(x), name="plain"),
}


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_plain_and_async_functions_are_tools_in_every_sandbox(kind: str, sandbox: str) -> None:
    tool = KINDS[kind]
    name = tool.__name__  # type: ignore[attr-defined]
    assert await value(f"{name}(21)", tool, sandbox=SANDBOXES[sandbox]) == 42


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_can_be_called_is_a_tool(kind: str) -> None:
    tool = KINDS[kind]
    name = tool.repl_name if isinstance(tool, Tool) else tool.__name__  # type: ignore[attr-defined]
    assert await value(f"{name}(21)", tool) == 42


def test_the_prompt_has_the_signature_and_the_docstring_without_secrets() -> None:
    def buy(
        order: Order,
        customer: Customer,
        how: Literal["card", "cash"],
        amount: Annotated[int, Field(ge=1)] = 1,
        *,
        api_key: str = KEY,
        note: str | None = None,
    ) -> dict[str, Any]:
        """Buy something.

        Args:
            how: How it is paid.
        """
        return {}

    prompt = prompt_of(Tool(buy, secrets={"api_key": KEY}))
    assert (
        "buy(order: Order, customer: Customer, how: Literal['card', 'cash'], amount: int = 1, *, note: str | None = "
        "None) -> dict[str, Any]" in prompt
    )
    assert "Buy something. Args: how: How it is paid." in prompt
    assert "Order is {'id': int, 'colour': Colour}" in prompt
    assert "Customer is {'name': str, 'orders': list[Order]}" in prompt
    assert "Colour is 'red' | 'blue'" in prompt
    assert "api_key" not in prompt
    assert KEY not in prompt


async def test_arguments_become_what_the_annotations_say() -> None:
    def kinds(order: Order, customer: Customer, colour: Colour) -> list[str]:
        """Return the classes."""
        return [type(each).__name__ for each in (order, customer, customer.orders[0], colour)]

    code = "kinds({'id': 1}, {'name': 'Ada', 'orders': [{'id': '2'}]}, colour='blue')"
    assert await value(code, kinds) == ["Order", "Customer", "Order", "Colour"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("take()", "'order'"),
        ("take({'id': 1}, 2, 3)", "too many positional"),
        ("take({'id': 'x'})", "order.id"),
        ("take({'id': 1}, amount=0)", "amount"),
        ("take({'id': 1}, colour=1)", "colour"),
    ],
)
@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_what_is_wrong_with_arguments_is_an_error_that_names_them(call: str, says: str, sandbox: str) -> None:
    def take(order: Order, amount: Annotated[int, Field(ge=1)] = 1) -> int:
        """Take."""
        return amount

    said = await told(
        f"try:\n    {call}\nexcept TypeError as error:\n    print('refused:', error)", take, sandbox=sandbox
    )
    assert says in said


@pytest.mark.parametrize(
    "error", [LookupError("no such customer"), KeyError("Ada"), StopIteration("over"), SystemExit("no such customer")]
)
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_whatever_a_tool_raises_is_the_cells_own_error(error: BaseException, is_async: bool) -> None:
    def fails() -> None:
        """Fail."""
        raise error

    async def afails() -> None:
        """Fail."""
        raise error

    tool = Tool(afails if is_async else fails, name="fails")
    said = await told("try:\n    fails()\nexcept Exception as error:\n    print('caught', type(error).__name__)", tool)
    assert "caught" in said


async def test_an_async_tool_that_is_cancelled_inside_does_not_end_the_run() -> None:
    async def cancels_itself() -> None:
        """Cancel."""
        raise asyncio.CancelledError

    assert "cancelled by itself" in await told("cancels_itself()", cancels_itself)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_a_tool_that_hangs_is_ended_at_the_limit_of_the_run(is_async: bool) -> None:
    over = threading.Event()

    def hangs() -> None:
        """Hang."""
        over.wait(600)

    async def ahangs() -> None:
        """Hang."""
        await asyncio.sleep(600)

    tool = Tool(ahangs if is_async else hangs, name="hangs")
    with anyio.fail_after(240):
        said = await told("hangs()", tool, limits=Limits(tool_timeout_s=0.1))
    over.set()
    assert "longer than 0.1 s" in said


async def test_the_time_of_a_tool_goes_before_that_of_the_run_and_a_question_can_narrow_it() -> None:
    async def hangs() -> None:
        """Hang."""
        await asyncio.sleep(30)

    assert "longer than 0.2 s" in await told("hangs()", Tool(hangs, timeout_s=0.2))
    model = ScriptedModel([repl("hangs()"), "FINAL(ok)"])
    async with RLM(model, tools=[hangs]).session(TEXT) as session:
        await session.ask("?", limits=Limits(tool_timeout_s=0.3))
    assert "longer than 0.3 s" in model.requests[1][-1].content


def test_the_default_time_is_thirty_seconds() -> None:
    assert Limits().tool_timeout_s == 30
    with pytest.raises(ConfigError, match="tool_timeout_s"):
        Limits(tool_timeout_s=0)


def test_a_tool_that_hangs_does_not_hold_up_the_end_of_the_program() -> None:
    program = """
import time
from rlmbox import RLM, Tool
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.testing import ScriptedModel

def hangs() -> None:
    time.sleep(600)

model = ScriptedModel(["```repl\\nhangs()\\n```", "FINAL(ok)"])
print(RLM(model, tools=[Tool(hangs, timeout_s=0.2)], sandbox="monty").ask("?", "text").text)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "ok", done.stderr


def a_generator() -> Iterator[int]:
    """Yield."""
    yield 1


async def an_async_generator() -> AsyncIterator[int]:
    """Yield."""
    yield 1


def an_open_file() -> Any:
    """Return a file."""
    return sys.stdin


def a_cycle() -> Any:
    """Return a list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def a_nested_object() -> Any:
    """Return an object in a list."""
    return {"list": [object()]}


@pytest.mark.parametrize("tool", [a_generator, an_async_generator, an_open_file, a_cycle, a_nested_object])
async def test_what_cannot_cross_is_refused_with_the_reason(tool: Callable[[], Any]) -> None:
    said = await told(f"{tool.__name__}()", tool)
    assert "TypeError" in said
    assert "cannot cross into the REPL" in said


async def test_what_can_be_json_crosses_as_json() -> None:
    def everything() -> Any:
        """Return many kinds."""
        return [Order(id=1), Customer("Ada", []), Colour.BLUE, {1, 2}, (3,), {4: "four"}, None, 1.5]

    assert await value("everything()", everything) == [
        {"id": 1, "colour": "red"}, {"name": "Ada", "orders": []}, "blue", [1, 2], [3], {"4": "four"}, None, 1.5
    ]  # fmt: skip


# Secrets.
def echoes(query: str, api_key: str, n: int = 1) -> str:
    """Search."""
    return f"{query}/{n} with {api_key} and {api_key.encode().hex()}"


def fails_with(query: str, api_key: str, n: int = 1) -> str:
    """Search."""
    raise ValueError(f"401 for {query}: the key {api_key} is not known")


def keeps_it(query: str, api_key: str, n: int = 1) -> dict[str, list[str]]:
    """Search."""
    return {api_key: [api_key, query]}


def refuses(query: str, api_key: Annotated[str, Field(max_length=3)], n: int = 1) -> str:
    """Search."""
    return query


@pytest.mark.parametrize("function", [echoes, fails_with, keeps_it, refuses])
async def test_what_a_tool_says_of_its_secret_by_mistake_reaches_nobody(function: Callable[..., Any]) -> None:
    store = MemoryStore()
    tool = Tool(function, name="search", secrets={"api_key": KEY})
    asked = rlm(repl("print(search('x', 2))"), "FINAL(ok)", tools=[tool], store=store)
    answer = await asked.aask("?", TEXT)
    everything = repr(await store.read(answer.run_id)) + repr(asked.model.requests) + repr(answer)  # type: ignore[attr-defined]
    assert KEY not in everything
    assert KEY.encode().hex() not in everything
    assert "api_key" not in everything or function is refuses
    assert KEY not in repr(tool)


async def test_code_cannot_give_the_secret_itself_and_arguments_around_it_keep_their_places() -> None:
    tool = Tool(echoes, secrets={"api_key": SecretStr(KEY).get_secret_value()})
    assert await value("echoes('x', 2)", tool) == "x/2 with [secret] and [secret]"
    assert "api_key" in await told("echoes('x', api_key='mine')", tool)

    def open_to_all(query: str, *, api_key: str, **more: Any) -> str:
        """Search."""
        return f"{query} {sorted(more)} {len(api_key)}"

    wide = Tool(open_to_all, secrets={"api_key": KEY})
    assert await value("open_to_all('x', a=1, b=2)", wide) == f"x ['a', 'b'] {len(KEY)}"
    assert "takes no argument 'api_key'" in await told("open_to_all('x', api_key='mine')", wide)


# Names, depths, and what goes on.
def many(*numbers: int, api_key: str = "") -> int:
    """Add."""
    return sum(numbers)


async def test_any_number_of_arguments_go_with_a_secret() -> None:
    assert await value("many(1, 2, 3)", Tool(many, secrets={"api_key": KEY})) == 6


def positional(key: str, /) -> str:
    """Search."""
    return key


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([Tool(plain, name="class")], "a name that code can call"),
        ([Tool(lambda x: x)], "a name that code can call"),
        ([Tool(plain, name="print")], "means something else in Python"),
        ([Tool(plain, name="ctx")], "two functions named 'ctx'"),
        ([Tool(plain, name="json")], "means something else in the REPL"),
        ([Tool(plain, name="FINAL")], "two functions named 'FINAL'"),
        ([plain, Tool(in_the_loop, name="plain")], "two functions named 'plain'"),
        ([Tool(plain, timeout_s=0)], "timeout_s=0"),
        ([Tool(positional, secrets={"key": KEY})], "keyword-only"),
        (["plain"], "a tool is a function, not str"),
    ],
)
async def test_a_tool_that_cannot_be_one_is_an_error_with_the_reason(tools: list[Any], says: str) -> None:
    model = ScriptedModel(["FINAL(ok)"])
    with pytest.raises(ConfigError, match=says):
        await RLM(model, tools=tools).aask("?", TEXT)
    assert not model.requests


async def test_two_tools_of_one_name_are_for_different_depths() -> None:
    def for_child(x: int) -> int:
        """Triple."""
        return 3 * x

    root = ScriptedModel([repl("FINAL([times(1), rlm_query('child?')])")], name="root")
    sub = ScriptedModel([repl("FINAL(times(1))")], name="sub")
    tools = [Tool(plain, name="times", depths={0}), Tool(for_child, name="times", depths={1, 2})]
    assert (await RLM(root, sub_model=sub, tools=tools).aask("?", TEXT)).value == [2, "3"]


@pytest.mark.parametrize("pure", [False, True])
async def test_a_run_that_goes_on_calls_a_tool_again_only_where_it_is_pure(pure: bool) -> None:
    calls: list[int] = []

    def counted(x: int) -> int:
        """Double."""
        calls.append(x)
        return 2 * x

    store, tool = MemoryStore(), Tool(counted, pure=pure)
    script: list[Any] = [repl("a = counted(1)"), ModelError("away", status=401)]
    with pytest.raises(ModelError):
        await RLM(ScriptedModel(script, name="m"), tools=[tool], store=store).aask("?", TEXT, run_id="r")
    assert calls == [1]
    again = RLM(ScriptedModel([repl("FINAL(a + counted(2))")], name="m"), tools=[tool], store=store)
    assert (await again.aresume("r")).value == 6
    assert calls == ([1, 1, 2] if pure else [1, 2])
    replayed = await RLM(ScriptedModel([], name="m"), store=store).areplay("r")
    assert replayed.value == 6
    assert len(calls) == (3 if pure else 2)

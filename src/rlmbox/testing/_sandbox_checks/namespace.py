"""Checks of the names that cells see, and of those that persist between cells."""

from __future__ import annotations

from rlmbox.testing._sandbox_checks._opened import LIMITS, MakeSandbox, expect, expect_equal, opened
from rlmbox.types import HostFunction

TEXT = "Olá, wörld\r\nline two 日本語 🎉\nthe end\u2028\x00 of it"


async def check_variables_live_from_cell_to_cell(make_sandbox: MakeSandbox) -> None:
    """A later cell reads and changes what an earlier one has set."""
    async with opened(make_sandbox) as repl:
        await repl.ok("x = 1\nitems = [x]")
        await repl.ok("x += 1\nitems.append(x)")
        expect_equal(await repl.value("[x, items]"), [2, [1, 2]], "the variables' value")


async def check_functions_live_from_cell_to_cell(make_sandbox: MakeSandbox) -> None:
    """A function of an earlier cell can be called, also by another function."""
    async with opened(make_sandbox) as repl:
        await repl.ok("def double(n):\n    return 2 * n")
        await repl.ok("def twice(n):\n    return double(double(n))")
        expect_equal(await repl.value("twice(3)"), 12, "the function's result")


async def check_functions_see_rebound_globals(make_sandbox: MakeSandbox) -> None:
    """A function reads a global when it is called, not when it is defined."""
    async with opened(make_sandbox) as repl:
        await repl.ok("rate = 1\ndef price():\n    return rate * 10")
        await repl.ok("rate = 5")
        expect_equal(await repl.value("price()"), 50, "the function's result")


async def check_closures_and_defaults_are_kept(make_sandbox: MakeSandbox) -> None:
    """Closures and default arguments keep their meaning in later cells."""
    async with opened(make_sandbox) as repl:
        await repl.ok(
            "def adder(n):\n    def add(m, by=10):\n        return n + m + by\n    return add\nplus = adder(1)"
        )
        expect_equal(await repl.value("plus(2)"), 13, "the closure's result")


async def check_imports_are_kept(make_sandbox: MakeSandbox) -> None:
    """A module that one cell imports is available in the next."""
    async with opened(make_sandbox) as repl:
        await repl.ok("import itertools\nfrom collections import Counter as C")
        code = "[list(itertools.chain([1], [2])), C('aab').most_common(1)[0][0]]"
        expect_equal(await repl.value(code), [[1, 2], "a"], "the modules' results")


async def check_a_class_of_an_earlier_cell_makes_objects(make_sandbox: MakeSandbox) -> None:
    """A class and its instances persist."""
    async with opened(make_sandbox) as repl:
        await repl.ok(
            "class Box:\n    def __init__(self, n):\n        self.n = n\n"
            "    def double(self):\n        return 2 * self.n"
        )
        await repl.ok("box = Box(4)\nbox.n += 1")
        expect_equal(await repl.value("box.double()"), 10, "the method's result")


async def check_a_class_can_inherit(make_sandbox: MakeSandbox) -> None:
    """Classes can have bases, including exceptions."""
    async with opened(make_sandbox) as repl:
        await repl.ok("class Missing(ValueError):\n    pass")
        code = "try:\n    raise Missing('x')\nexcept ValueError as error:\n    name = type(error).__name__\nname"
        expect_equal(await repl.value(code), "Missing", "the exception's name")


async def check_generators_work(make_sandbox: MakeSandbox) -> None:
    """A function with `yield` is lazy."""
    async with opened(make_sandbox) as repl:
        await repl.ok("def count():\n    n = 0\n    while True:\n        yield n\n        n += 1")
        expect_equal(await repl.value("c = count()\n[next(c), next(c)]"), [0, 1], "the generator's values")


async def check_an_empty_cell_runs(make_sandbox: MakeSandbox) -> None:
    """Empty code, blank lines and comments are valid cells."""
    async with opened(make_sandbox) as repl:
        for code in ("", "\n\n  \n", "# only a comment", "pass"):
            execution = await repl.ok(code)
            expect(execution.value is None and execution.value_repr is None, f"{code!r} has no value")


async def check_a_very_long_line_runs(make_sandbox: MakeSandbox) -> None:
    """A line of 300,000 characters is accepted."""
    async with opened(make_sandbox) as repl:
        await repl.ok(f"long = '{'x' * 300_000}'")
        expect_equal(await repl.value("len(long)"), 300_000, "the text's length")


async def check_code_beyond_its_limit_is_refused(make_sandbox: MakeSandbox) -> None:
    """A cell longer than `code_bytes` is an error of that cell, and none of it runs."""
    async with opened(make_sandbox) as repl:
        await repl.fails("ran = 1\n" + "#" * LIMITS.code_bytes)
        await repl.error("ran", "NameError")


async def check_windows_line_ends_are_read(make_sandbox: MakeSandbox) -> None:
    """Carriage returns at line ends do no harm."""
    async with opened(make_sandbox) as repl:
        expect_equal(await repl.value("if True:\r\n    a = 1\r\na + 1\r\n"), 2, "the value")


async def check_two_sandboxes_share_nothing(make_sandbox: MakeSandbox) -> None:
    """A session does not see the variables of another."""
    async with opened(make_sandbox, text="one") as one, opened(make_sandbox, text="two") as two:
        await one.ok("secret = 1")
        await one.run("math.mark = 1")  # not every backend lets a cell change a module
        await two.error("secret", "NameError")
        expect_equal(await two.value("[context, hasattr(math, 'mark')]"), ["two", False], "what the other sees")


async def check_context_is_the_text(make_sandbox: MakeSandbox) -> None:
    """`context` is the text itself: length, characters, slices, comparison."""
    async with opened(make_sandbox, text=TEXT) as repl:
        code = "[context, len(context), context[5:10], context[-7:], '日本' in context, context.count('\\n')]"
        wanted = [TEXT, len(TEXT), TEXT[5:10], TEXT[-7:], True, TEXT.count("\n")]
        expect_equal(await repl.value(code), wanted, "what the cell sees of the context")


async def check_a_context_of_one_character_is_whole(make_sandbox: MakeSandbox) -> None:
    """An empty context is a text too."""
    async with opened(make_sandbox, text="🎉") as repl:
        expect_equal(await repl.value("[context, len(context)]"), ["🎉", 1], "the context")


async def check_a_large_context_is_whole(make_sandbox: MakeSandbox) -> None:
    """A text of several megabytes arrives complete."""
    lines = [f"line {n} ü" for n in range(200_000)]
    async with opened(make_sandbox, text="\n".join(lines)) as repl:
        code = "lines = context.split('\\n')\n[len(context), len(lines), lines[123456], lines[-1]]"
        wanted = [len("\n".join(lines)), 200_000, lines[123456], lines[-1]]
        expect_equal(await repl.value(code), wanted, "what the cell sees of the context")


async def check_context_has_its_other_names(make_sandbox: MakeSandbox) -> None:
    """`P` is the context and `query` the question."""
    async with opened(make_sandbox, text=TEXT, query="Who? 🎈") as repl:
        expect_equal(await repl.value("[P == context, query]"), [True, "Who? 🎈"], "what the cell sees")


async def check_modules_are_there_without_import(make_sandbox: MakeSandbox) -> None:
    """`re`, `json`, `math`, `base64`, `binascii` and `zlib` work without being imported."""
    async with opened(make_sandbox) as repl:
        cases = {
            "re.findall(r'\\d+', 'a1b22')": ["1", "22"],
            "json.loads(json.dumps({'a': [1, None]}))": {"a": [1, None]},
            "math.floor(2.5)": 2,
            "base64.b64encode(b'hi').decode()": "aGk=",
            "binascii.hexlify(b'hi').decode()": "6869",
            "zlib.decompress(zlib.compress(b'hi' * 100)).decode()[:4]": "hihi",
        }
        for code, wanted in cases.items():
            expect_equal(await repl.value(code), wanted, f"the value of {code}")


async def check_a_session_has_no_names_that_nobody_gave(make_sandbox: MakeSandbox) -> None:
    """Names that a loop uses for answers are not predefined, and a cell may bind them."""
    async with opened(make_sandbox) as repl:
        for name in ("answer", "FINAL", "SUBMIT", "FINAL_VAR", "llm_query"):
            await repl.error(name, "NameError")
        expect_equal((await repl.ok("answer = 'mine'")).restored, (), "the names that were restored")
        expect_equal(await repl.value("answer"), "mine", "the cell's own variable")
        expect_equal(set(await repl.sandbox.variables()), {"answer"}, "the variables")


async def check_an_input_that_a_cell_fills_is_kept(make_sandbox: MakeSandbox) -> None:
    """The dictionary that a loop reads an answer from has its given content, and keeps what a cell puts into it."""
    given = {"content": "", "ready": False}
    async with opened(make_sandbox, inputs={"answer": given}) as repl:
        expect_equal(await repl.value("answer"), {"content": "", "ready": False}, "the answer at the start")
        await repl.ok("answer['content'] = 'forty-two'\nanswer['ready'] = True")
        expect_equal(await repl.value("answer"), {"content": "forty-two", "ready": True}, "the answer afterwards")
        expect_equal(dict(await repl.sandbox.variables()), {}, "the variables")
        expect_equal(given, {"content": "", "ready": False}, "the host's own object")


async def check_variables_lists_what_cells_have_set(make_sandbox: MakeSandbox) -> None:
    """`variables()` describes the cells' own names, without injected and private ones."""
    async with opened(make_sandbox, [HostFunction("ping", lambda: "pong", "answers")]) as repl:
        expect_equal(dict(await repl.sandbox.variables()), {}, "the variables before the first cell")
        await repl.ok("names = ['a', 'b', 'c']\ntotal = 7\n_private = 1\ntext = 'hello'\ndef f():\n    inner = 1")
        listed = dict(await repl.sandbox.variables())
        expect(set(listed) == {"names", "total", "text", "f"}, f"the cells' own names are listed, not {listed}")
        expect("list" in listed["names"] and "3" in listed["names"], f"a list has its length: {listed['names']!r}")
        expect("int" in listed["total"], f"an int is named so: {listed['total']!r}")
        expect(all(len(text) < 300 for text in listed.values()), "descriptions are short")


async def check_show_vars_lists_variables_in_a_cell(make_sandbox: MakeSandbox) -> None:
    """`SHOW_VARS()` returns to a cell what `variables()` returns to the host."""
    async with opened(make_sandbox) as repl:
        await repl.ok("names = ['a', 'b', 'c']")
        expect_equal(await repl.value("SHOW_VARS()"), dict(await repl.sandbox.variables()), "SHOW_VARS()")


async def check_a_rebound_name_is_a_variable(make_sandbox: MakeSandbox) -> None:
    """An injected name that a cell rebinds is the cell's from then on, and is listed."""
    async with opened(make_sandbox) as repl:
        await repl.ok("query = ['mine']")
        expect_equal(await repl.value("query"), ["mine"], "the name's value")
        expect("query" in await repl.sandbox.variables(), "the name is listed")


async def check_names_outside_ascii_work(make_sandbox: MakeSandbox) -> None:
    """Source may contain any letters in names and any characters in strings."""
    async with opened(make_sandbox) as repl:
        expect_equal(await repl.value("größe = '🎉 日本語'\ngröße"), "🎉 日本語", "the value")


async def check_names_of_the_repl_are_there_again(make_sandbox: MakeSandbox) -> None:
    """A cell that overwrites `context` or a host function affects only itself; the execution names them."""
    ask = HostFunction("ask", lambda prompt: f"answer to {prompt}", "asks")
    async with opened(make_sandbox, [ask], text="abc") as repl:
        execution = await repl.ok("context = context[:1]\nask = None\nmine = context")
        expect_equal(sorted(execution.restored), ["ask", "context"], "the names that were restored")
        got = await repl.value("[context, ask('x'), mine]")
        expect_equal(got, ["abc", "answer to x", "a"], "the names in the next cell")


async def check_the_same_seed_gives_the_same_session(make_sandbox: MakeSandbox) -> None:
    """Two sessions with the same seed draw the same random numbers and iterate over a set in the same order."""
    code = "import random\n[random.random(), random.choice(range(1000)), ' '.join({str(n) for n in range(50)})]"
    drawn = []
    for seed in (7, 7, 8):
        async with opened(make_sandbox, seed=seed) as repl:
            drawn.append(await repl.value(code))
    expect_equal(drawn[0], drawn[1], "what a second session of the same seed draws")
    expect(drawn[0][:2] != drawn[2][:2], "another seed gives other numbers")


async def check_inputs_are_variables(make_sandbox: MakeSandbox) -> None:
    """Inputs are available from the first cell, under their names, and can be modified and rebound."""
    inputs = {"prices": {"a": [1, 2.5, None]}, "contract": "text é", "count": 3}
    async with opened(make_sandbox, inputs=inputs) as repl:
        expect_equal(dict(await repl.sandbox.variables()), {}, "the variables that cells have set")
        expect_equal((await repl.ok("count = [count]")).restored, (), "the names that were restored")
        expect_equal(await repl.value("count"), [3], "what a cell has bound an input's name to")
        expect_equal(set(await repl.sandbox.variables()), {"count"}, "the variables, with a name that a cell bound")
        expect_equal(await repl.value("[prices, contract]"), [inputs["prices"], "text é"], "the inputs")
        await repl.ok("prices['b'] = contract")
        expect_equal(await repl.value("sorted(prices)"), ["a", "b"], "the input in the next cell")

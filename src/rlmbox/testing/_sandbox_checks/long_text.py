"""Checks of a context that is too long to be a `str` in the sandbox: its handle behaves like the `str`."""

from __future__ import annotations

from dataclasses import replace

from rlmbox.testing._sandbox_checks._opened import LIMITS, MakeSandbox, expect, expect_equal, opened

LARGE = replace(LIMITS, inline_limit_chars=1_000)
TEXT = "".join(f"line {number} é🎉\n" for number in range(2_000)) + "the end"


async def check_a_long_context_is_read_by_position(make_sandbox: MakeSandbox) -> None:
    """Length, index and slices work, from either end and with a step."""
    async with opened(make_sandbox, text=TEXT, limits=LARGE) as repl:
        code = "[len(context), context[0], context[-1], context[5:12], context[-7:], context[9:3], context[200:100:-9]]"
        wanted = [len(TEXT), TEXT[0], TEXT[-1], TEXT[5:12], TEXT[-7:], TEXT[9:3], TEXT[200:100:-9]]
        expect_equal(await repl.value(code), wanted, "what is read")
        await repl.error("context[len(context)]", "IndexError")


async def check_a_long_context_is_searched(make_sandbox: MakeSandbox) -> None:
    """Each search returns what it returns for a `str`."""
    async with opened(make_sandbox, text=TEXT, limits=LARGE) as repl:
        code = "['777 é' in context, 'no' not in context, context.find('99', 500), context.rfind('line'), "
        code += "context.count('1')]"
        wanted = [True, True, TEXT.find("99", 500), TEXT.rfind("line"), TEXT.count("1")]
        expect_equal(await repl.value(code), wanted, "what is found")
        code = "[context.startswith('line 0'), context.endswith('end'), context.index('the'), context == 'the end']"
        expect_equal(await repl.value(code), [True, True, TEXT.index("the"), False], "what is found")
        end = len(TEXT)
        code = f"[context.find('', {end}), context.find('', {end + 1}), context.count('', {end + 1}), "
        code += f"context.startswith('', {end + 1}), context.rfind('', 3, 2)]"
        expect_equal(await repl.value(code), [end, -1, 0, False, -1], "where the empty text is")
        await repl.error("context.index('nowhere')", "ValueError")


async def check_a_long_context_gives_its_lines(make_sandbox: MakeSandbox) -> None:
    """Iteration yields characters and `splitlines` returns lines, as for a `str`; a loop may end early."""
    async with opened(make_sandbox, text=TEXT, limits=LARGE) as repl:
        code = "total = 0\nfor char in context:\n    total += len(char)\nelse:\n    total += 0.5\n[total, char]"
        expect_equal(await repl.value(code), [len(TEXT) + 0.5, "d"], "the characters of a loop")
        code = "[sum(1 for char in context if char == 'é'), len({char for char in context})]"
        expect_equal(await repl.value(code), [TEXT.count("é"), len({*TEXT})], "the characters of a comprehension")
        code = "total = 0\nfor line in context.splitlines(True):\n    total += len(line)\n[total, line]"
        expect_equal(await repl.value(code), [len(TEXT), "the end"], "the lines of a loop")
        code = (
            "for number, line in enumerate(context.splitlines()):\n    if '77 ' in line:\n        break\n[number, line]"
        )
        expect_equal(await repl.value(code), [77, "line 77 é🎉"], "where a loop ended")
        code = "lines = context.splitlines()\n[len(lines), lines[3], lines[-2:], [l for l in lines if '499' in l]]"
        lines = TEXT.splitlines()
        wanted = [len(lines), lines[3], lines[-2:], [line for line in lines if "499" in line]]
        expect_equal(await repl.value(code), wanted, "the lines")


async def check_a_long_context_can_be_passed_on(make_sandbox: MakeSandbox) -> None:
    """The text works the same under another name, in a collection and in a function."""
    async with opened(make_sandbox, text=TEXT, limits=LARGE) as repl:
        await repl.ok("def head(text, size=4):\n    return text[:size] if 'é' in text else ''\nkept = {'text': [P]}")
        code = "text = kept['text'][0]\n[head(context), head(text), len(text), f'{text[-3:]} {len(P)}']"
        expect_equal(await repl.value(code), ["line", "line", len(TEXT), f"end {len(TEXT)}"], "what is read of it")
        expect_equal(await repl.value("isinstance(context, str)"), True, "isinstance(context, str)")


async def check_a_long_context_takes_a_first_probe(make_sandbox: MakeSandbox) -> None:
    """`str(context)[:n]`, a cut f-string, and the lines of a `split` return what they return for a `str`."""
    async with opened(make_sandbox, text=TEXT, limits=LARGE) as repl:
        code = "[str(context)[:30], f'{context}'[:30], f'{context:.30}', len(str(context))]"
        expect_equal(await repl.value(code), [TEXT[:30], TEXT[:30], TEXT[:30], len(TEXT)], "a first probe")
        lines = TEXT.split("\n")
        code = "lines = context.split('\\n')\n[len(lines), lines[:2], lines[-1], [l for l in lines if '777' in l]]"
        wanted = [len(lines), lines[:2], lines[-1], [line for line in lines if "777" in line]]
        expect_equal(await repl.value(code), wanted, "the parts")
        code = "['line 777' in context.lower(), context.strip()[-3:]]"
        expect_equal(await repl.value(code), [True, "end"], "copies in another case and without white space")


async def check_a_long_context_refuses_what_needs_all_of_it(make_sandbox: MakeSandbox) -> None:
    """Operations that would copy the text raise a TypeError that names an alternative; it cannot be modified.

    A text put together with it is right wherever it is read, or refused in the same way.
    """
    async with opened(make_sandbox, text=TEXT, limits=LARGE) as repl:
        for code in ("'x' + context", "'%s' % context", "f'{context}{context}'", "', '.join([context, 'x'])"):
            execution = await repl.run(f"[len({code}), ({code})[:5], ({code})[-5:]]")
            if execution.error is None:
                whole = eval(code, {"context": TEXT})  # noqa: S307 - one of the codes above
                expect_equal(execution.value, [len(whole), whole[:5], whole[-5:]], code)
            else:
                expect_equal(execution.error.type, "TypeError", code)
        for code in ("context.replace('line', 'x')", "context.title()"):
            execution = await repl.error(code, "TypeError")
            message = execution.error.message if execution.error else ""
            expect(
                "context[a:b]" in message or "context.find" in message, f"{code!r} tells what to do instead: {message}"
            )
        await repl.error("context[0] = 'x'", "TypeError")
        execution = await repl.ok("context")
        expect(len(execution.value_repr or "") < 1_000, "its repr is short")
        await repl.still_works()


async def check_a_long_context_is_matched_by_patterns(make_sandbox: MakeSandbox) -> None:
    """Functions of `re` and compiled patterns accept the text, with groups and positions."""
    async with opened(make_sandbox, text=TEXT, limits=LARGE) as repl:
        code = (
            "[re.findall(r'line (7\\d7) ', context), re.search('the (end)', context).span(1), re.match('x', context)]"
        )
        at = TEXT.index("end")
        expect_equal(await repl.value(code), [[str(n) for n in range(707, 800, 10)], [at, at + 3], None], "the matches")
        code = "words = re.compile(r'\\bLINE (\\d+)', re.I)\n"
        code += "[match.group(1) for match in words.finditer(context, len(context) - 60)]"
        expect_equal((await repl.value(code))[-1], "1999", "the last match of a compiled pattern")


async def check_a_long_context_takes_no_memory(make_sandbox: MakeSandbox) -> None:
    """A text larger than a cell's memory can be processed from end to end."""
    text = "0123456789abcde\n" * 2_000_000
    async with opened(make_sandbox, text=text, limits=replace(LARGE, memory_bytes=16 << 20)) as repl:
        code = "sizes = [len(context[at:at + 1000]) for at in range(0, len(context), 1_000_000)]\n"
        code += "[sum(sizes), context.count('e\\n0'), context.find('nowhere'), context[-3:]]"
        expect_equal(await repl.value(code), [32_000, 1_999_999, -1, "de\n"], "what a large text gives")


async def check_a_long_context_is_there_after_a_limit(make_sandbox: MakeSandbox) -> None:
    """The text can be read in the cell after one that reached a limit."""
    limits = replace(LARGE, cell_timeout_s=0.5)
    async with opened(make_sandbox, text=TEXT, limits=limits) as repl:
        await repl.fails("while True:\n    pass", "timeout")
        expect_equal(await repl.value("[len(context), context[-3:]]"), [len(TEXT), "end"], "the context afterwards")

"""Texts that a cell puts together of a context too long to be a `str` there: what they are, or a word on the way."""

import json
from dataclasses import replace

import pytest

from rlmbox.sandboxes.worker._values import to_json
from rlmbox.types import HostFunction
from sandboxes.local_repl import LIMITS, local

LARGE = replace(LIMITS, inline_limit_chars=1000)
SETUP = """
import collections, copy, json, re, textwrap
class Shown:
    text = context
    def __format__(self, spec): return 'S' + spec
    def __str__(self): return 'text'
"""
SAME = [
    'len(f"{context}{context}")',
    'f"{context}" == context',
    'len(f"{context:}|{str(context):}|{context!s:}|{str(context)}")',
    'f"See: {context}"[:9] + f"{context}x"[-3:]',
    'f"{context!s} and {context[:3]!r:>9}|{5:>{3}}|{{}}"[-18:]',
    'f"{Shown():a}{context}"[:5]',
    'f"{Shown()}{Shown()!s}{Shown()!s:>5}{Shown()!s}{context}"[:15]',
    '"end!" in f"{context}!"',
    'f"{context}!".endswith("end!")',
    'f"{context}\\n{context}".count("ne 1\\n")',
    'f"{context}\\n{context}".splitlines()[3001][:6]',
    'f"{context}|{context}".split("|")[1][:6]',
    'f"{context}{context}".rfind("line 0")',
    'f"a{context}".find("line 2999", 10)',
    'f"A{context}".lower()[:6]',
    'f"  {context}\\n".strip()[:6]',
    'f"{context}|"[::-1][:5]',
    '[char for char in f"A{context}"][:3]',
    'collections.Counter(f"%%{context}")["%"]',
    '("x" + context + "y")[-3:]',
    '(context + context[:4]).rindex("line")',
    'len(str(context) + "x" + str(context))',
    '(context * 2)[len(context) - 3:len(context) + 6]',
    'context * 0 + 2 * "ab"',
    '("x" + context) > context, context < "a", context <= context, context >= "m" + context',
    'len("%s and %s" % (context, "x"))',
    '("%5s|%s|%d" % ("a", context, 7))[:8]',
    '("%(b)s|%(a)s" % {"a": context, "b": 1})[:8]',
    '"%s, %s" % ("a", len(context)), 7 % 4, b"%d" % 5',
    'len("{}".format(context)), "{a}|{b:>3}".format(a=context, b=1)[-5:]',
    '"{0} {1} {0}".format("a", context)[-4:]',
    '"{:.4}".format(context) + "{0[1]}".format(context)',
    '"{a}!".format_map({"a": context})[-3:]',
    '"".join([context, "x"])[-3:], len(", ".join(part for part in (context, "b", context)))',
    '", ".join(map(str, [context, 1]))[-6:]',
    '", ".join("abc"), "-".join(context)[:5], "".join([])',
    'len(format(context)), format(5, ">3")',
    'copy.deepcopy({"a": context})["a"] is context, copy.copy(context) is context',
    'isinstance(context.splitlines(), list), isinstance(f"a{context}", str)',
    'json.loads(json.dumps(context.splitlines()))[7]',
    '(context.splitlines() * 2)[3001][:6]',
    '(lambda text: f"{text}.")(context)[-2:], [f"{n}{context}"[:2] for n in range(2)]',
    """(exec("def mended(t): return f'{t}.' + '%s!' % t"), mended(context)[-4:])[1]""",
    """eval("','.join([context, '{}'.format(context)])[-4:]"), eval(compile("f'{context}.'[-4:]", "a", "eval"))""",
    """(lambda names: (exec("got = ','.join([text, 'a'])", names), names["got"][-4:])[1])({"text": context})""",
    """exec("x = 1 + 1", {"__builtins__": {}}), eval("  1 + 1"), eval("n", {"n": 1}, {"n": 2})""",
    'list(map(", ".join, [["a", context], "bc"]))[0][-6:], [*map(str, [1, context])][1][-5:]',
    '(lambda find: find(context).span())(re.compile("line").search), len(context.join("abc"))',
    '[m.span() for m in re.finditer("end|line 0$", f"{context}|{context}", re.M)]',
    're.sub("(?s)l.*", "", "x" + context), re.fullmatch("(?si).*END", context).end()',
    're.search("(?<=the )end", context + "."), re.split("ine", context.lower())[1], re.findall("END", context.lower())',
    're.findall("(?x) the [ ] end  # here", context), len(re.findall("", context))',
    'isinstance(re.search("line", context), re.Match), context.__eq__(5), context in [context[:]], context in context',
    'context.find(context, 0), context.count(context + "a"), context.startswith(("a", context))',
    'context.partition(context)[2]',
    """(exec("class A: split = str\\nmatch 'a':\\n case A.split(): found = f'{context}.'"), found[-4:])[1]""",
    'Shown.text[:4], (lambda s, f=f"{context}a": s + f)("b")[:3]',
]  # fmt: skip
REFUSED = [
    ('"%.10s" % context', "context[:500]"),
    ('"%80000s" % context', "context[:500]"),
    ('"%s %s" % context', "not enough arguments"),
    ('"".join(5)', "can only join an iterable"),
    ('"".join([context, 1])', "sequence item 1: expected str instance, int found"),
    ('f"{context:>10}"', "context[a:b]"),
    ("context + 1", 'can only concatenate str (not "int") to str'),
    ("context * 'a'", "can't multiply sequence by non-int of type 'str'"),
    ("context * 20_000", "context[:500]"),
    ("context.splitlines().append('x')", "[*lines[a:b]]"),
    ("context.splitlines()[0] = 'x'", "[*lines[a:b]]"),
    ("re.sub('a', context, 'a')", "re.sub with the whole text in the place of each match"),
    ("string.Template('$a').substitute(a=context)", "context[a:b]"),
    ("csv.writer(io.StringIO()).writerow([context])", "context[a:b]"),
    ("logging.LogRecord('', 0, '', 0, '%s', (context,), None).getMessage()", "context[a:b]"),
    ("operator.mod('%s', context)", "context[a:b]"),
    ("print(context, file=io.StringIO())", "context[:500]"),
    ("raise ValueError(context)", "ValueError: <context of 60,000 characters"),
    ("{f'x{context}': 1}", "use a position or a slice"),
    ("ask(f'Sum up: {context}')", "ctx.chunk(size)"),
    ("ask(['Sum up: ' + context])", "ctx.chunk(size)"),
]


@pytest.mark.parametrize("letter", ["e", "é🎉"], ids=["one byte a character", "several"])
async def test_texts_put_together_of_the_whole_one_are_what_they_are_for_a_str(letter: str) -> None:
    text = "".join(f"line {n}\n{letter * (n % 2)}" for n in range(3000)) + "the end"
    names: dict[str, object] = {"context": text}
    exec(SETUP, names)
    async with local(text=text, limits=LARGE) as repl:
        assert (await repl.run(SETUP)).error is None
        got = {code: await repl.value(code) for code in SAME}
    assert got == {code: json.loads(json.dumps(to_json(eval(code, names)))) for code in SAME}


async def test_what_cannot_be_put_together_is_refused_with_the_way_around() -> None:
    ask = HostFunction("ask", lambda prompt: prompt, "asks")
    text = "some text\n" * 6_000
    async with local(ask, text=text, limits=LARGE) as repl:
        await repl.run("import csv, io, logging, operator, string")
        errors = {code: (await repl.run(code)).error for code, _ in REFUSED}
    assert [code for code, words in REFUSED if words not in str(errors[code])] == []


async def test_what_is_printed_of_such_a_text_is_its_beginning_and_a_word_on_the_rest() -> None:
    async with local(text="some text\n" * 6_000, limits=LARGE) as repl:
        run = await repl.run("print(f'See: {context}')")
    assert run.error is None
    assert run.stdout.startswith("See: some text\n")
    assert "the context goes on, to 60,005 characters" in run.stdout
    assert len(run.stdout) < 21_000


async def test_the_parts_of_a_text_leave_a_cell_as_the_list_that_they_are() -> None:
    asked: list[object] = []
    ask = HostFunction("ask", asked.append, "asks")
    async with local(ask, text="some text\n" * 6_000, limits=LARGE) as repl:
        await repl.run("ask(context.splitlines())")
        assert await repl.value("context.split()") == ["some", "text"] * 6_000
    assert asked == [["some text"] * 6_000]

"""Checks of how a cell's failure is reported to the model."""

from __future__ import annotations

from rlmbox.testing._sandbox_checks._opened import MakeSandbox, expect, expect_equal, opened


async def check_an_exception_is_data(make_sandbox: MakeSandbox) -> None:
    """An exception is reported with its type, message and line; nothing is raised on the host."""
    async with opened(make_sandbox) as repl:
        error = (await repl.error("x = 1\ny = 2\nraise ValueError('no such clause')", "ValueError")).error
        expect_equal(error and error.message, "no such clause", "the message")
        expect_equal(error and error.line, 3, "the line")


async def check_common_exceptions_have_their_types(make_sandbox: MakeSandbox) -> None:
    """Each built-in exception keeps its name."""
    cases = {
        "1 / 0": "ZeroDivisionError",
        "[][3]": "IndexError",
        "{}['k']": "KeyError",
        "int('x')": "ValueError",
        "'a' + 1": "TypeError",
        "nope": "NameError",
        "(1).nope": "AttributeError",
        "assert False, 'why'": "AssertionError",
        "import no_such_module_here": "ModuleNotFoundError",
    }
    async with opened(make_sandbox) as repl:
        for code, name in cases.items():
            await repl.error(code, name)


async def check_a_failed_cell_keeps_its_variables(make_sandbox: MakeSandbox) -> None:
    """Variables that a cell set before it failed are kept."""
    async with opened(make_sandbox) as repl:
        failed = await repl.error("paid = [1, 2]\npaid.append(3)\n1 / 0\nnever = 1", "ZeroDivisionError")
        expect_equal(failed.namespace, "kept", "the namespace after an exception")
        expect_equal(await repl.value("paid"), [1, 2, 3], "the variable's value")
        await repl.error("never", "NameError")


async def check_the_traceback_is_of_the_cell(make_sandbox: MakeSandbox) -> None:
    """The traceback names the cell `<rlm_session>` and shows its lines, but no code of the sandbox."""
    async with opened(make_sandbox) as repl:
        code = "def deep(n):\n    return 10 / n\n\ndef call():\n    return deep(0)\n\ncall()"
        error = (await repl.error(code, "ZeroDivisionError")).error
        shown = error.traceback if error else ""
        expect(shown.startswith("Traceback (most recent call last):"), f"it begins as Python's do: {shown}")
        for line in ("line 2, in deep", "line 5, in call", "line 7, in <module>", "return 10 / n", "call()"):
            expect(line in shown, f"it has {line!r}: {shown}")
        expect('File "<rlm_session>"' in shown, f"the cell has its name: {shown}")
        expect(shown.splitlines()[-1] == "ZeroDivisionError: division by zero", f"it ends with the error: {shown}")
        for inner in ("_worker", "_repl", "rlmbox", "exec(", "site-packages"):
            expect(inner not in shown, f"it does not show the sandbox's own code ({inner}): {shown}")


async def check_a_function_of_an_earlier_cell_shows_its_own_lines(make_sandbox: MakeSandbox) -> None:
    """A traceback across two cells shows the lines of each."""
    async with opened(make_sandbox) as repl:
        await repl.ok("def first():\n    raise KeyError('from the first cell')")
        await repl.ok("unrelated = 1\nalso_unrelated = 2")
        error = (await repl.error("x = 1\nfirst()", "KeyError")).error
        shown = error.traceback if error else ""
        expect("raise KeyError('from the first cell')" in shown, f"the earlier cell's line is shown: {shown}")
        expect("also_unrelated" not in shown, f"another cell's line is not: {shown}")
        expect("line 2, in <module>" in shown and "first()" in shown, f"the cell's own line is shown: {shown}")


async def check_a_syntax_error_has_its_line(make_sandbox: MakeSandbox) -> None:
    """Code that is not valid Python is an error of the cell, with the line; none of it runs."""
    async with opened(make_sandbox) as repl:
        for code, line in (("ran = 1\nx = = 2", 2), ("ran = 1\ntext = 'unterminated\ny = 1", 2), ("ran = 1\n\nfor", 3)):
            error = (await repl.error(code, "SyntaxError")).error
            expect_equal(error and error.line, line, f"the line of the error in {code!r}")
            expect(error and "<rlm_session>" in error.traceback, "the cell has its name")
            await repl.error("ran", "NameError")


async def check_wrong_indentation_is_a_syntax_error(make_sandbox: MakeSandbox) -> None:
    """Wrong indentation is an error of the cell, whatever its type."""
    async with opened(make_sandbox) as repl:
        error = (await repl.fails("if True:\nx = 1")).error
        expect(error and error.type in ("IndentationError", "SyntaxError"), f"it is a syntax error: {error}")


async def check_a_caught_exception_is_no_error(make_sandbox: MakeSandbox) -> None:
    """`try`, `except`, `else` and `finally` work."""
    async with opened(make_sandbox) as repl:
        code = (
            "seen = []\ntry:\n    [][1]\nexcept IndexError as error:\n    seen.append(str(error))\n"
            "finally:\n    seen.append('done')\nseen"
        )
        expect_equal(await repl.value(code), ["list index out of range", "done"], "the value")


async def check_a_chained_exception_is_the_last_one(make_sandbox: MakeSandbox) -> None:
    """`raise … from …` reports the outer exception."""
    async with opened(make_sandbox) as repl:
        code = "try:\n    int('x')\nexcept ValueError as inner:\n    raise RuntimeError('outer') from inner"
        error = (await repl.error(code, "RuntimeError")).error
        expect_equal(error and (error.message, error.line), ("outer", 4), "message and line")


async def check_an_exception_of_a_cells_own_class_keeps_its_name(make_sandbox: MakeSandbox) -> None:
    """An exception class that the cell defines is named in the error."""
    async with opened(make_sandbox) as repl:
        error = (
            await repl.error("class NotInText(Exception):\n    pass\nraise NotInText('clause 7')", "NotInText")
        ).error
        expect_equal(error and error.message, "clause 7", "the message")


async def check_an_exit_does_not_end_the_session(make_sandbox: MakeSandbox) -> None:
    """`raise SystemExit` ends the cell only."""
    async with opened(make_sandbox) as repl:
        await repl.ok("kept = 1")
        await repl.error("raise SystemExit", "SystemExit")
        expect_equal(await repl.value("kept"), 1, "a variable afterwards")


async def check_a_keyboard_interrupt_does_not_end_the_session(make_sandbox: MakeSandbox) -> None:
    """`raise KeyboardInterrupt` ends the cell only, and does not interrupt the host."""
    async with opened(make_sandbox) as repl:
        await repl.ok("kept = 1")
        await repl.error("raise KeyboardInterrupt", "KeyboardInterrupt")
        expect_equal(await repl.value("kept"), 1, "a variable afterwards")


async def check_a_long_message_is_bounded(make_sandbox: MakeSandbox) -> None:
    """An exception with a message of megabytes is cut before it reaches the host."""
    async with opened(make_sandbox) as repl:
        error = (await repl.error("raise ValueError('x' * 5_000_000)", "ValueError")).error
        expect(error and len(error.message) < 500_000 and len(error.traceback) < 500_000, "the message is bounded")

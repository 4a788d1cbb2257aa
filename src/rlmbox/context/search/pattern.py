"""Parsing of Python's regular expressions into nodes that `translate` writes for RE2.

What RE2 does not support is refused by name here.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlmbox.context.search.characters import (
    ASCII_SPACES,
    CharacterKind,
    character_kind,
    class_kind,
    code_point,
    named,
    quoted,
    range_kind,
    unicode_class,
)
from rlmbox.context.search.code_ranges import between_brackets, complement

MAX_DEPTH = 100
_MAX_REPEAT = 1000
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_REFUSED_GROUPS = {
    "=": "look-ahead",
    "!": "look-ahead",
    "<=": "look-behind",
    "<!": "look-behind",
    ">": "an atomic group",
    "(": "a conditional",
    "P=": "a back-reference",
    "P>": "recursion",
}


def unsupported(what: str) -> ValueError:
    """Return the error for a feature that the search does not support."""
    return ValueError(
        f"the pattern has {what}, which search does not support: rewrite it, or use re in a cell on a chunk of the text"
    )


def invalid(why: str) -> ValueError:
    """Return the error for an invalid pattern."""
    return ValueError(f"invalid regular expression: {why}; correct it, or search for it as a literal with ctx.find")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A node that matches characters, or a zero-width condition that RE2 shares with `re`.

    Attributes:
        text: The node in RE2's syntax.
        kind: The kind of characters that it matches.
        width: Whether it matches characters.
        char: The only character that it matches, if there is only one.
    """

    text: str
    kind: CharacterKind = "any"
    width: bool = True
    char: str = ""


@dataclass(frozen=True, slots=True)
class WordBoundary:
    r"""`\b`, or `\B` when negated."""

    negated: bool


@dataclass(frozen=True, slots=True)
class TextEnd:
    """`$` without the flag `m`: the end, or before a final newline."""


@dataclass(frozen=True, slots=True)
class Group:
    """Alternatives in parentheses.

    Attributes:
        opening: The opening parenthesis with its flags.
        branches: The alternatives.
        captures: Whether it is a capturing group.
    """

    opening: str
    branches: list[list[PatternNode]]
    captures: bool = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """A repeated node."""

    node: PatternNode
    suffix: str
    nullable: bool
    times: int = 1


PatternNode = Leaf | WordBoundary | TextEnd | Group | Repeat


def read_pattern(pattern: str, *, unicode: bool) -> list[list[PatternNode]]:
    r"""Parse a pattern into its alternatives.

    Args:
        pattern: The pattern in the syntax of `re`.
        unicode: Whether classes and `\b` are those of Unicode, not ASCII.

    Raises:
        ValueError: It is not a regular expression, or has something that RE2 lacks.
    """
    reader = _PatternReader(pattern, unicode)
    found = reader.branches()
    if reader.position < len(pattern):
        raise invalid(f"unbalanced parenthesis at position {reader.position}")
    return found


@dataclass(slots=True)
class _PatternReader:
    """A recursive descent parser for patterns."""

    pattern: str
    unicode: bool
    position: int = 0
    depth: int = 0
    multiline: bool = False

    def peek(self, count: int = 1) -> str:
        return self.pattern[self.position : self.position + count]

    def take(self, text: str) -> bool:
        if self.pattern.startswith(text, self.position):
            self.position += len(text)
            return True
        return False

    def one(self) -> str:
        char = self.peek()
        self.position += 1
        return char

    def until(self, end: str, what: str) -> str:
        stop = self.pattern.find(end, self.position)
        if stop < 0:
            raise invalid(f"{what} is not closed")
        text = self.pattern[self.position : stop]
        self.position = stop + len(end)
        return text

    def branches(self) -> list[list[PatternNode]]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise invalid(f"groups are nested more than {MAX_DEPTH} deep")
        found = [self.sequence()]
        while self.take("|"):
            found.append(self.sequence())
        self.depth -= 1
        return found

    def sequence(self) -> list[PatternNode]:
        nodes: list[PatternNode] = []
        while (char := self.peek()) and char not in "|)":
            node = self.atom(char)
            if node is not None:
                nodes.append(self.repeated(node))
        return nodes

    def atom(self, char: str) -> PatternNode | None:
        self.position += 1
        if char == "(":
            return self.group()
        if char == "[":
            return self.char_class()
        if char == "\\":
            return self.escape()
        if char == ".":
            return Leaf(".")
        if char == "^":
            return Leaf("^", width=False)
        if char == "$":
            return Leaf("$", width=False) if self.multiline else TextEnd()
        if char in "*+?":
            raise invalid(f"nothing to repeat before {char!r} at position {self.position - 1}")
        return Leaf(quoted(char), character_kind(char), char=char)

    def repeated(self, node: PatternNode) -> PatternNode:
        suffix = self.quantifier()
        if not suffix:
            return node
        if self.peek() == "+":
            raise unsupported(f"the possessive quantifier {suffix}+")
        times = max([int(part) for part in suffix.strip("{}").split(",") if part.isdecimal()], default=1)
        nullable = suffix[0] in "*?" or suffix.startswith("{0")
        if self.take("?"):
            suffix += "?"
        before = self.position
        if self.quantifier():
            raise invalid(f"multiple repeat at position {before}")
        return Repeat(node, suffix, nullable, max(1, times))

    def quantifier(self) -> str:
        char = self.peek()
        if char and char in "*+?":
            self.position += 1
            return char
        if char != "{":
            return ""
        body, closed, _ = self.pattern[self.position + 1 : self.position + 25].partition("}")
        low, comma, high = body.partition(",")
        if not closed or not (low or high) or not (low + high).isdecimal() or not body.isascii():
            return ""
        if int(low or 0) > _MAX_REPEAT or int(high or 0) > _MAX_REPEAT:
            raise unsupported(f"a repetition of more than {_MAX_REPEAT}")
        if high and int(low or 0) > int(high):
            raise invalid("the lower bound of a repetition is above the upper")
        self.position += len(body) + 2
        return f"{{{int(low or 0)}{comma}{high and int(high)}}}"

    def group(self) -> PatternNode | None:
        opening, outer, captures = "(?:", self.multiline, self.peek() != "?"
        if self.take("?"):
            if self.take("#"):
                self.until(")", "a comment")
                return None
            for start, what in _REFUSED_GROUPS.items():
                if self.take(start):
                    raise unsupported(what)
            if self.take("P<") or self.take("<"):
                if not self.until(">", "a group's name").isidentifier():
                    raise invalid("a group's name is not an identifier")
                captures = True
            elif not self.take(":"):
                flags, ended = self.flags()
                if ended == ")":
                    return Leaf(f"(?{flags})", width=False) if flags else None
                opening = f"(?{flags}:"
        branches = self.branches()
        if not self.take(")"):
            raise invalid("a group is not closed")
        self.multiline = outer
        return Group(opening, branches, captures)

    def flags(self) -> tuple[str, str]:
        """Read flags and their terminator, a colon or a parenthesis."""
        on, off = "", ""
        minus = False
        while (char := self.peek()) and char not in ":)":
            self.position += 1
            if char == "-" and not minus:
                minus = True
            elif char in "ims":
                on, off = (on, off + char) if minus else (on + char, off)
                self.multiline = (not minus) if char == "m" else self.multiline
            elif char == "a" and not minus:
                self.unicode = False
            elif char != "u" or minus:
                raise unsupported(f"the flag {char!r}") if char in "xL" else invalid(f"unknown extension ?{char}")
        if not char:
            raise invalid("a group is not closed")
        self.position += 1
        return on + (f"-{off}" if off else ""), char

    def escape(self) -> PatternNode:
        char = self.one()
        if char in ("b", "B"):
            return WordBoundary(char == "B") if self.unicode else Leaf("\\" + char, width=False)
        if char == "A":
            return Leaf(r"\A", width=False)
        if char in ("Z", "z"):
            return Leaf(r"\z", width=False)
        if char and char in "123456789" and not self.three_octal_digits():
            raise unsupported("a back-reference")
        if shorthand := self.shorthand(char, inside=False):
            return Leaf(f"[{shorthand[0]}]", shorthand[1])
        literal = self.character(char)
        return Leaf(quoted(literal), character_kind(literal), char=literal)

    def three_octal_digits(self) -> bool:
        digits = self.pattern[self.position - 1 : self.position + 2]
        return len(digits) == 3 and all(d in "01234567" for d in digits)

    def shorthand(self, char: str, *, inside: bool) -> tuple[str, CharacterKind] | None:
        """Return a class shorthand as written inside brackets; None if it is not one."""
        if char in ("p", "P"):
            name = self.until("}", "a property") if self.take("{") else self.one()
            if not name.lstrip("^").replace("_", "").isalnum():
                raise invalid("a property has no name")
            return f"\\{char}{{{name}}}", "any"
        if not char or char not in "dDsSwW":
            return None
        kind: CharacterKind = "word" if char in "dw" else "other" if char in "sW" else "any"
        if self.unicode:
            return unicode_class(char, inside=inside), kind
        spaces = {"s": between_brackets(ASCII_SPACES), "S": between_brackets(complement(ASCII_SPACES))}
        return spaces.get(char, "\\" + char), kind

    def character(self, char: str) -> str:
        """Return the character denoted by an escape, whose first character has been read."""
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in _HEX_DIGITS:
            digits = self.peek(_HEX_DIGITS[char])
            self.position += len(digits)
            return self.code_point(digits, 16, _HEX_DIGITS[char])
        if char and char in "01234567":
            return self.octal(char)
        if char == "N" and self.take("{"):
            if found := named(self.until("}", "a character's name")):
                return found
            raise invalid("there is no character of this name")
        if not char or (char.isascii() and char.isalnum()):
            raise invalid(f"bad escape \\{char} at position {self.position - 2 if char else self.position - 1}")
        return char

    def code_point(self, digits: str, base: int, wanted: int) -> str:
        char = code_point(digits, base) if len(digits) == wanted else None
        if char is None:
            raise invalid(f"bad escape at position {self.position}")
        return char

    def octal(self, digits: str) -> str:
        while len(digits) < 3 and self.peek() and self.peek() in "01234567":
            digits += self.peek()
            self.position += 1
        return self.code_point(digits, 8, len(digits))

    def char_class(self) -> PatternNode:
        negated = self.take("^")
        items: list[str] = []
        kinds: set[CharacterKind] = set()
        while not items or self.peek() != "]":
            if not self.peek():
                raise invalid("a character class is not closed")
            text, kind = self.class_item()
            items.append(text)
            kinds.add(kind)
        self.position += 1
        return Leaf(f"[{'^' if negated else ''}{''.join(items)}]", class_kind(negated, items, kinds))

    def class_item(self) -> tuple[str, CharacterKind]:
        low = self.class_member()
        if isinstance(low, tuple):
            return low
        if self.peek() != "-" or self.peek(2) in ("-", "-]"):
            return quoted(low), character_kind(low)
        self.position += 1
        high = self.class_member()
        if isinstance(high, tuple) or high < low:
            raise invalid("bad character range in a class")
        return f"{quoted(low)}-{quoted(high)}", range_kind(low, high)

    def class_member(self) -> str | tuple[str, CharacterKind]:
        char = self.one()
        if char != "\\":
            return char
        char = self.one()
        if char == "b":
            return "\b"
        return self.shorthand(char, inside=True) or self.character(char)

"""Typed answers: the description of a type for the model, and the check of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from rlmbox.context.json_parts import json_parts
from rlmbox.errors import ConfigError
from rlmbox.loop.final_answer import FinalAnswer
from rlmbox.loop.json_schema import UnusableSchema, schema_check
from rlmbox.loop.typed_dicts import checkable
from rlmbox.reply.json_value import read_json

MOST_ANSWERS = 4
"""Answers that are judged before it is given up: the first, and three after it was sent back with the reason."""

_SHOWN_CHARS = 4_000
_ENCODER = json.JSONEncoder()
_MOST_PROBLEMS = 5


@dataclass(frozen=True)
class AnswerType:
    """The type that an answer must have.

    Attributes:
        returns: A type that pydantic can check (a model, a dataclass, a TypedDict, `list[int]`, …), or a JSON Schema.
    """

    returns: Any

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """Its JSON Schema.

        Raises:
            ConfigError: There is none: the type cannot be checked, or the schema is invalid.
        """
        from pydantic.errors import PydanticUserError

        if isinstance(self.returns, Mapping):
            self._check  # noqa: B018 - raises for an invalid schema before anything is asked
            return self.returns
        try:
            schema: Mapping[str, Any] = self._adapter.json_schema()
        except PydanticUserError as error:
            problem = error.message.partition("\n")[0].partition(". Set `")[0]
            raise ConfigError(f"answers cannot be checked against {self.returns!r}: {problem}"[:500]) from None
        return schema

    @property
    def is_schema(self) -> bool:
        """True if it is a JSON Schema, as a record stores a type."""
        return isinstance(self.returns, Mapping)

    @cached_property
    def takes_none(self) -> bool:
        """True if None is a valid answer because the type allows it, and not because any value is."""
        try:
            return bool(self.schema) and self._check(None) is None
        except ValueError:
            return False

    def in_words(self, *, in_code: bool = True) -> str:
        """Return the description of the type for the model.

        in_code: True if code submits the answer, False if the reply is the answer.
            in_code: True if code submits the answer, False if the reply is the answer.
        """
        if not in_code and not self.schema:
            return "Reply with one JSON value and nothing else."
        text = json.dumps(self.schema, ensure_ascii=False)
        if len(text) > _SHOWN_CHARS:
            text = text[:_SHOWN_CHARS] + " …"
        if not in_code:
            return f"Reply with one JSON value that fits this JSON Schema, and nothing else: {text}"
        return f"Give the answer as a value that fits this JSON Schema, with FINAL(value) in code: {text}"

    def read(self, answer: FinalAnswer, *, in_code: bool = True) -> FinalAnswer | str:
        """Return an answer with its value converted to the type, or a description of the problem.

        Args:
            answer: The model's answer.
            in_code: As for `in_words`.
        """
        try:
            found = self._check(answer.value)
        except UnusableSchema as error:
            raise ConfigError(f"returns: {error}") from None
        except ValueError as error:
            try:
                return replace(answer, value=self._otherwise(answer))
            except ValueError:
                return self.sent_back(str(error), in_code=in_code)
        if isinstance(found, Decimal) and isinstance(answer.value, float):
            with suppress(ValueError):  # a float has lost digits that the text still has
                found = self._otherwise(answer)
        return replace(answer, value=found)

    def _otherwise(self, answer: FinalAnswer) -> Any:
        """Return the value of a text parsed as JSON, or of a number taken as the text it was written as.

        Raises:
            ValueError: That does not fit either.
        """
        if isinstance(answer.value, str):
            return self._check(read_json(answer.value))
        if isinstance(answer.value, int | float):
            return self._check(answer.text)
        raise ValueError("there is no other way to read it")

    def sent_back(self, problem: str, *, in_code: bool = True) -> str:
        """Return the message to the model about an answer that does not match.

        Args:
            problem: What is wrong with it.
            in_code: As for `in_words`.
        """
        return f"The answer does not fit what was asked for: {problem}. {self.in_words(in_code=in_code)}"

    def of_reply(self, text: str) -> Any:
        """Return the value of a reply that is the answer: JSON, or a text if the type allows one.

        Args:
            text: The reply.

        Raises:
            ValueError: It does not fit; the message says why.
            UnusableSchema: No value can fit.
        """
        try:
            value = read_json(text)
        except ValueError:
            if not self.schema:
                raise
            try:
                return self._check(text.strip())
            except UnusableSchema:
                raise
            except ValueError:
                pass  # that it is not JSON is the more useful reason
            raise
        return self._check(value)

    @classmethod
    def of_code(cls, schema: Any, name: str) -> AnswerType:
        """Return the type that code in a sandbox has asked for.

        Args:
            schema: A JSON Schema; None for any JSON value.
            name: Name of the argument.

        Raises:
            TypeError: It is not a dict.
            ValueError: It is not a JSON Schema.
        """
        if schema is not None and not isinstance(schema, dict):
            raise TypeError(f"{name} is a JSON Schema, such as {{'type': 'integer'}}, not {type(schema).__name__}")
        schema_check(schema)
        return cls(schema or {})

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import TypeAdapter

        try:
            return TypeAdapter(checkable(self.returns))
        except (NameError, SyntaxError, IndexError) as error:  # the last two of a text that names no type
            raise ConfigError(f"answers cannot be checked against {self.returns!r}: {error}") from None

    @cached_property
    def _check(self) -> Callable[[Any], Any]:
        if isinstance(self.returns, Mapping):
            try:
                return schema_check(self.returns)
            except ValueError as error:
                raise ConfigError(f"returns: {error}") from None
        return self._validated

    def _validated(self, value: Any) -> Any:
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json("".join(json_parts(value, _ENCODER)))
        except ValidationError as error:
            found = error.errors(include_url=False)[:_MOST_PROBLEMS]
            said = [f"{'.'.join(str(part) for part in each['loc']) or 'the answer'}: {each['msg']}" for each in found]
            raise ValueError("; ".join(said)) from None

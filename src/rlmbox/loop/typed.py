"""Answers of a type: what the model is told of it, and the check of what it gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from rlmbox.errors import ConfigError
from rlmbox.loop.final_answer import FinalAnswer
from rlmbox.loop.json_schema import schema_check
from rlmbox.reply.json_value import read_json

_SHOWN_CHARS = 4_000
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
            ConfigError: There is none: the type cannot be checked, or the schema is wrong.
        """
        from pydantic.errors import PydanticUserError

        if isinstance(self.returns, Mapping):
            self._check  # noqa: B018 - a wrong schema is said before anything is asked
            return self.returns
        try:
            schema: Mapping[str, Any] = self._adapter.json_schema()
        except PydanticUserError as error:
            raise ConfigError(f"answers cannot be checked against {self.returns!r}: {error.message}") from None
        return schema

    def in_words(self, *, in_code: bool = True) -> str:
        """Return what the model is told of it.

        Args:
            in_code: True where code gives the answer, False where the reply is the answer.
        """
        text = json.dumps(self.schema, ensure_ascii=False)
        if len(text) > _SHOWN_CHARS:
            text = text[:_SHOWN_CHARS] + " …"
        if not in_code:
            return f"Reply with one JSON value that fits this JSON Schema, and nothing else: {text}"
        return f"Give the answer as a value that fits this JSON Schema, with FINAL(value) in code: {text}"

    def read(self, answer: FinalAnswer, *, in_code: bool = True) -> FinalAnswer | str:
        """Return an answer with its value of the type, or what is wrong with it.

        Args:
            answer: What the model gave.
            in_code: As for `in_words`.
        """
        try:
            return replace(answer, value=self._check(answer.value))
        except ValueError as error:
            problem = str(error)
        if isinstance(answer.value, str):  # a value that was written as text
            try:
                return replace(answer, value=self._check(read_json(answer.value)))
            except ValueError:
                pass
        return f"The answer does not fit what was asked for: {problem}. {self.in_words(in_code=in_code)}"

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import TypeAdapter

        return TypeAdapter(self.returns)

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
            return self._adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            found = error.errors(include_url=False)[:_MOST_PROBLEMS]
            said = [f"{'.'.join(str(part) for part in each['loc']) or 'the answer'}: {each['msg']}" for each in found]
            raise ValueError("; ".join(said)) from None

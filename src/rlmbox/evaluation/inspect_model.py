"""rlmbox as a model of Inspect, for any of its tasks: `inspect eval TASK --model rlmbox/openai:gpt-5`.

Only imported by Inspect, through the entry point `inspect_ai`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, ModelUsage, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo

from rlmbox import RLM, Answer, Limits
from rlmbox.errors import ConfigError, LimitExceeded
from rlmbox.evaluation.conversation import one_question_of


class RlmboxModel(ModelAPI):  # type: ignore[misc]
    """Answers each request by a run of rlmbox.

    Args:
        model_name: The root model, such as `openai:gpt-5`.
        base_url: URL of its server; None for the provider's.
        api_key: Its key; None to take it from the environment.
        api_key_vars: Not used.
        config: Inspect's settings; those for sampling are ignored.
        sub_model: The model of sub-calls; None for the root model.
        sandbox: The sandbox.
        profile: The profile; None for the default.
        cost_limit: Cost limit of one request, in US dollars.
        max_turns: Turn limit of each session; None for the default.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        api_key_vars: list[str] | None = None,
        config: GenerateConfig | None = None,
        *,
        sub_model: str | None = None,
        sandbox: str = "auto",
        profile: str | None = None,
        cost_limit: float | str | None = None,
        max_turns: int | None = None,
    ) -> None:
        super().__init__(model_name, base_url, api_key, api_key_vars or [], config or GenerateConfig())
        limits: dict[str, Any] = {} if cost_limit is None else {"cost_limit_usd": Decimal(str(cost_limit))}
        if max_turns is not None:
            limits["max_turns"] = max_turns
        self._rlm = RLM(
            model_name,
            sub_model=sub_model,
            base_url=base_url,
            api_key=api_key,
            sandbox=sandbox,
            profile=profile,
            limits=Limits(**limits),
        )

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - Inspect's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer a conversation by a run over its text.

        Args:
            input: The conversation.
            tools: Must be empty: the model works through code in the sandbox.
            tool_choice: Not used.
            config: Not used.

        Raises:
            ConfigError: The task needs tool calls, or has messages that are not text.
            RLMError: The run failed. A run that reached a limit does not raise but returns its partial answer, or an
                empty text, with the reason in `metadata["limit"]`.
        """
        if tools:
            names = ", ".join(tool.name for tool in tools)
            raise ConfigError(f"rlmbox calls no tools of Inspect ({names}); run tasks that ask for an answer")
        parts = [part for message in input if not isinstance(message.content, str) for part in message.content]
        other = next((part.type for part in parts if part.type not in ("text", "reasoning")), None)
        if other is not None:
            raise ConfigError(f"rlmbox reads only text; a message contains {other}")
        question, context = one_question_of([(message.role, message.text) for message in input])
        try:
            return self._output(await self._rlm.aask(question, context), "stop")
        except LimitExceeded as error:  # one failed question must not end a task of many
            output = self._output(error.partial or Answer("", run_id=""), "max_tokens")
            output.metadata["limit"] = str(error)
            return output

    def _output(self, answer: Answer, stop_reason: str) -> ModelOutput:
        output = ModelOutput.from_content(self.model_name, answer.text, stop_reason=stop_reason)
        sent, received = answer.usage.input_tokens, answer.usage.output_tokens
        output.usage = ModelUsage(input_tokens=sent, output_tokens=received, total_tokens=sent + received)
        output.usage.total_cost = float(answer.cost_usd)
        output.metadata = {"cost_usd": str(answer.cost_usd), "requests": answer.usage.requests, "run_id": answer.run_id}
        return output

    async def aclose(self) -> None:
        """Close the connections of its models."""
        await self._rlm.aclose()


@modelapi(name="rlmbox")  # type: ignore[untyped-decorator]
def rlmbox() -> type[RlmboxModel]:
    """Return the model class for names that begin with `rlmbox/`."""
    return RlmboxModel

"""The names of spans, attributes and metrics, all in one place.

Those that begin with `gen_ai.` are of the OpenTelemetry semantic conventions for generative AI as of 1.42, which
are still in development; those that begin with `rlmbox.` are ours, for what the conventions have no word for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SCOPE = "rlmbox"
"""Name of the instrumentation."""

AGENT = "rlmbox"
"""Name of the agent that a session is."""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT_NAME = "gen_ai.agent.name"
AGENT_VERSION = "gen_ai.agent.version"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - the name of an attribute
ERROR_TYPE = "error.type"

RUN_ID = "rlmbox.run.id"
DEPTH = "rlmbox.session.depth"
SANDBOX = "rlmbox.sandbox"
QUESTION_NUMBER = "rlmbox.question.number"
TURN_NUMBER = "rlmbox.turn.number"
TURNS = "rlmbox.turns"
CELL_INDEX = "rlmbox.cell.index"
CELL_OUTCOME = "rlmbox.cell.outcome"
SUBCALL_NUMBER = "rlmbox.subcall.number"
ATTEMPT = "rlmbox.attempt"
OUTCOME = "rlmbox.attempt.outcome"
COST_USD = "rlmbox.cost.usd"
FROM_CACHE = "rlmbox.from_cache"
RESUMED = "rlmbox.resumed"

CHAT = "chat"
INVOKE_AGENT = "invoke_agent"
EXECUTE_TOOL = "execute_tool"
PYTHON = "python"
TURN_SPAN = "turn"
SUBCALL_SPAN = "subcall"

TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - the name of a metric
OPERATION_DURATION = "gen_ai.client.operation.duration"
TOOL_DURATION = "gen_ai.execute_tool.duration"
AGENT_DURATION = "gen_ai.invoke_agent.duration"
COST = "rlmbox.cost"

TOKEN_BOUNDARIES = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
SECOND_BOUNDARIES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The variable of the environment by which content is asked for."""

_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "openai": "openai",
        "anthropic": "anthropic",
        "google": "gcp.gemini",
        "azure": "azure.ai.openai",
    }
)
_OTHER = "_OTHER"


def provider_of(model: str) -> str:
    """Return the conventions' name of the provider of a model.

    Args:
        model: The model's name as rlmbox has it, such as `openai:gpt-5`.
    """
    prefix, colon, _ = model.partition(":")
    return _PROVIDERS.get(prefix, prefix) if colon else _OTHER


def model_name(model: str) -> str:
    """Return the name that a provider knows a model by.

    Args:
        model: The model's name as rlmbox has it.
    """
    return model.partition(":")[2] or model

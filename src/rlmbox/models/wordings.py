"""Patterns for the messages with which providers refuse a request.

Providers with the same protocol word the same refusal differently, and few send a code for it. The wordings are from
their documentation and from public bug reports; `rlmbox.testing.quirks` names the reports.
"""

from __future__ import annotations

import re

_N = r"\D{0,3}(?P<tokens>\d[\d,_]{1,11})"
_NOT_OUTPUT = r"(?![\d,_]|[ `]*(?:completion|output|new))"
_OUTPUT = r"(?<!\+ )(?<!\+ `)[`'\"]?max[_ ](?:(?:completion|output|new)[_ ])?tokens[`'\"]?"


def _patterns(*wordings: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(wording, re.IGNORECASE) for wording in wordings)


WINDOW = _patterns(
    rf"model's context length is only{_N}",  # before what vLLM says is left of it for the input
    rf"but (?:the |this )?model (?:only )?(?:supports|allows|accepts|takes|has a context(?: length| size)? of)"
    rf"(?: only| up to| at most)?{_N}{_NOT_OUTPUT}",
    rf"maximum (?:context|prompt|input) length(?: is| of|:)?{_N}",
    rf"maximum number of (?:input )?tokens allowed{_N}",
    rf"tokens > {_N} maximum",
    rf"\d \+ [\d,]+ >{_N}",
    rf"limit:? [\d,]+ >{_N}",
    rf"context length of only{_N}",
    rf"context (?:length|size|window)(?: limit)?(?: is| of|:)?(?: only| just)?{_N}{_NOT_OUTPUT}",
    rf"token limit(?: is| of|:)?{_N}",
    rf"range of input length should be \[\d+,{_N}\]",
    rf"limit for this model is{_N} tokens",
    rf"max_new_tokens`? must be <={_N}",
    rf"must have less than{_N} `?(?:input|token)",
    rf"too large for model with{_N} maximum context",
    rf"token count of [\d,]+ exceeds the limit of{_N}",
    rf"max(?:imum)? size:{_N} tokens",
    rf"maximum (?:supported )?sequence length(?: is| of|:)?(?: only| just)?{_N}",
    rf"max(?:_seq_len|_model_len|_num_tokens|_position_embeddings)\b{_N}",
    rf"\bn_ctx{_N}",
    rf"than the maximum model length of{_N}",
    rf"(?:input|prompt|total) tokens exceeds? (?:the )?(?:max(?:imum)?|configured) limit(?: of)?{_N}",
    rf"exceeds? (?:the )?(?:model(?:'s)? )?(?:token )?limit(?! \(\d{{4}}\)\W*$)(?: of)?{_N}",  # MiniMax: its code
    rf"more than (?:the )?max(?:imum)? tokens allowed{_N}",
    rf"\d > {_N} context",
    rf"(?:prompt|input|count\b[^.]{{0,20}}) cannot exceed{_N}",
    rf"cannot exceed the total tokens limit{_N}",
    rf"exceeds? (?:the )?maximum (?:allowed )?(?:input |prompt |token )?(?:length|size)(?: of)?{_N}",
    rf"while (?:the )?limit is{_N}",
    rf"(?:input|prompt|context) length limit(?: is| of|:)?{_N}",
    rf"only supports? (?:up to|at most){_N}{_NOT_OUTPUT}",
    rf"over the model's limit(?: of)?{_N}",
    rf"too long\b[^.]{{0,60}}\. maximum:{_N}",
    rf"(?:上下文长度|上下文窗口|最大长度|输入长度)[^\d]{{0,4}}{_N}",
)
"""Each finds the size of the window in its group `tokens`."""

WINDOW_WITH_CODE = _patterns(r"\b(?:limit|maximum)\b[^\d.]{0,25}(?P<tokens>\d[\d,_]{1,11})")
"""The same, where a code says that it is about the window."""

TOO_LONG_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",
        "request_too_large",
        "tokens_limit_reached",
        "model_max_prompt_tokens_exceeded",
        "string_above_max_length",
        "max_tokens_per_request",
    }
)
TOO_LONG = re.compile(
    r"maximum context length|reduce the length of the (?:messages|prompt|input)"
    r"|\b(?:prompt|input|request|context|conversation|message|text|length)s?(?: \w+){0,3} too (?:long|many tokens)"
    r"|too many tokens|string too long|input tokens exceeded"
    r"|exceed(?:s|ed)? (?:the |this )?(?:model(?:'s)? )?(?:maximum number of tokens|maximum allowed input length"
    r"|maximum context|available context size|context (?:window|length|size|limit)"
    r"|max(?:imum)? (?:prompt |input )?(?:length|tokens)|max message tokens)"
    r"|context[ _](?:window|length|size|limit)(?: has been| was| is)?[ _]exceeded|token limit exceeded"
    r"|(?:longer|larger) than the (?:model's )?(?:maximum )?context|context ?window ?exceed(?:s|ed)"
    r"|exceeded model token limit"
    r"|(?:longer|larger) than the (?:maximum model|model input) length|tokens exceeds? (?:the )?max(?:imum)? limit"
    r"|超长|上下文.{0,8}(?:超|限制|过长)|(?:超出|超过).{0,12}(?:上下文|最大长度)|(?:输入|prompt).{0,6}过长"
    r"|context overflow|tokens to keep from the initial prompt is greater|context the overflows",
    re.IGNORECASE,
)
"""The request is longer than the window."""

WAIT = re.compile(r"please wait|throttl|slow down|per[- ](?:minute|second)", re.IGNORECASE)
"""Words beside which too many tokens are those of many requests."""

RATE_TOO_SMALL = re.compile(
    r"request too large for (?:model|gpt|o\d)|requested \d[\d,]*\D{1,40}(?:limit|tokens per min)", re.IGNORECASE
)
RATE = re.compile(
    rf"limit:?{_N}(?: / \w+)?[,.]? (?:(?:used|current):? ~?[\d,]+(?: / \w+)?[,.]? )?"
    r"requested:?\D{0,3}(?P<asked>\d[\d,]*)",
    re.IGNORECASE,
)
"""How many tokens an account may use in a minute, and how many one request asked for."""

OUTPUT_CAP = _patterns(
    rf"fewer max_tokens\b.{{1,80}}?can only afford{_N}",
    rf"supports? (?:at most|up to|a maximum of){_N} (?:completion|output) tokens",
    rf"{_OUTPUT}\W{{0,3}} (?:must be|should be)\D{{0,30}}(?:<=|less than or equal(?: to)?|at most){_N}",
    rf"max_tokens: [\d,]+ >{_N}, which is the maximum allowed",
    rf"valid range of max_(?:completion_)?tokens is \[\d+,{_N}\]",
    rf"range of max_(?:completion_|output_)?tokens should be \[\d+,{_N}\]",
    (
        rf"{_OUTPUT}.{{1,80}}?(?:at most|maximum of|not exceed|no more than|cannot exceed|up to"
        rf"|less than or equal(?: to)?|less or equal to|<=|≤|above maximum value\D{{0,30}}<=|model maximum"
        rf"|max(?:imum)?(?: limit| value)?(?: of| is)?|limit of|exceeds? (?:the )?limit(?: of)?){_N}"
    ),
    rf"maximum (?:number of )?(?:output|completion) (?:tokens|length)\D{{0,30}}{_N}",
    rf"model (?:only )?(?:supports|allows)(?: only| up to| at most)?{_N} (?:completion|output|new) tokens",
    rf"{_OUTPUT}.{{0,30}}\brange\D{{1,4}}\d+ ?(?:\.\.+|-|to|,){_N}",
    rf"maximum tokens you requested exceeds the model limit of{_N}",
    rf"{_OUTPUT} ?(?:参数)?[^\d\[]{{0,24}}(?:范围|限制在)\D{{0,4}}\d+\s*[,，~-]{_N}",  # noqa: RUF001 - as it is written in China
    rf"{_OUTPUT} (?:must|should) be (?:between|in) \D?\d+(?: and|,| to){_N}",
    rf"{_OUTPUT}: input should be less than or equal to{_N}",
    rf"maxTokens: [\d,]+ is not less or equal to{_N}",
    rf"maxTokens' failed to satisfy constraint: .{{1,40}}?less than or equal to{_N}",
)
"""Each finds the longest reply that may be asked for in its group `tokens`."""

OUTPUT_CAP_EXCLUSIVE = _patterns(
    r"maxOutputTokens.{0,80}?to (?P<tokens>\d+) \(exclusive\)",
    rf"{_OUTPUT}\W{{0,3}} (?:must be|should be|has to be) (?:strictly )?(?:less|lower|smaller) than{_N}",
)
"""The same, where it must be less than that."""

NAMED = _patterns(
    (
        r"(?:unsupported|unrecognized|unknown|unexpected|invalid|extra)(?: [\w-]+){0,4}:? ?"
        r"['\"`](?P<name>[a-zA-Z_]\w*)['\"`]"
    ),
    r"unrecognized request arguments? supplied: (?P<name>[a-zA-Z_]\w*)",
    r"property '(?P<name>[a-zA-Z_]\w*)' is unsupported",
    r"['\"`]?(?P<name>[a-zA-Z_]\w*)['\"`]?:?\s+extra (?:inputs|fields)(?: are)? not permitted",
    (
        r"['\"`](?P<name>[a-zA-Z_]\w*)['\"`](?: \w+){0,3} (?:is|are) "
        r"(?:deprecated|not supported|unsupported|not permitted)"
    ),
    r"['\"`](?P<name>[a-zA-Z_]\w*)['\"`] does not support",
)
"""Each finds a parameter that the provider does not take in its group `name`."""

NO_SYSTEM = re.compile(
    r"system (?:role|message|prompt|instruction)s?\b.{0,40}\b(?:not|n't|un)\W?(?:supported|enabled|allowed)"
    r"|developer instruction is not enabled|does(?: not|n't) support (?:the )?['\"`]?system"
    r"|role.{0,10}system.{0,20}(?:not supported|unsupported|invalid|not allowed)"
    r"|(?:unsupported|invalid|unknown|unexpected) (?:message )?role\b\W{0,3}system"
    r"|['\"`]?system['\"`]? is not (?:a valid role|one of)|use a valid role: user, model"
    r"|(?:input should be|permitted:?|allowed:?) 'user'(?: or|,) 'assistant'(?!,)"
    r"|role must be (?:either )?['\"`]?user['\"`]? or"
    r"|only (?:the )?['\"`]?user['\"`]?(?: and|,) ['\"`]?assistant['\"`]?(?:,? and \w+)? roles are"
    r" (?:supported|allowed)",
    re.IGNORECASE,
)
NO_STREAM = re.compile(
    r"stream(?:ing|ed)?\b.{0,60}\b(?:not|n't|un)\W?(?:supported|enabled|allowed|available|implemented)"
    r"|(?:not|n't) support (?:\w+ ){0,3}stream|verified to stream",
    re.IGNORECASE,
)
ONLY_STREAM = re.compile(
    r"only supports? (?:the )?stream|(?:must|needs? to|has to|please) (?:be streamed|use stream|enable (?:the )?stream)"
    r"|non-stream(?:ing|ed)? (?:calls?|requests?|mode|output).{0,30}(?:not|n't|un)\W?(?:supported|allowed)"
    r"|(?:for|in) non-streaming calls|streaming is (?:strongly recommended|required)"
    r"|stream['\"`]? (?:must|should|has to) be (?:set to )?true",
    re.IGNORECASE,
)
ALTERNATE = re.compile(
    r"(?:must|should|have to) alternate\b|alternate (?:between )?(?:the )?['\"]?user"
    r"|(?:consecutive|successive) (?:user|assistant)|first message must (?:be|use|have).{0,20}user"
    r"|(?:expected|unexpected) role ['\"`]?(?:user|assistant)['\"`]? after role|interleave the user/assistant",
    re.IGNORECASE,
)
QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "spend_limit_exceeded",
        "billing_error",
        "exceeded_current_quota_error",
        "budget_exceeded",
        "AllocationQuota.FreeTierOnly",
    }
)
QUOTA = re.compile(
    r"credit balance is too low|insufficient (?:balance|credits?|quota|funds)|enable billing|more credits"
    r"|out of credits|used all available credits|(?:no|any) credits|budget has been exceeded|spending limit"
    r"|free tier\b.{0,40}exhausted|usage (?:limits?|quota)\b|extra usage is required"
    r"|per[- ]day|/ ?(?:day|month)\b|per[- ]month|daily (?:limit|quota|request limit)|monthly (?:limit|quota)"
    r"|\((?:RPD|TPD)\)|余额不足|余额已|欠费|额度已|额度不足|今日.{0,8}(?:限额|次数)",
    re.IGNORECASE,
)
THROTTLED = re.compile(
    r"throttl|rate.?limit|too.?many.?(?:requests|tokens)|slow.?down|limit_(?:requests|burst)|\b(?:qps|rpm|tpm)\b"
    r"|concurren|请求过多|频率|并发|限流|frequency",
    re.IGNORECASE,
)
"""The account asks too often; looked for in codes, and in the words of an error that came with another status."""

PASSING = re.compile(
    r"overloaded|server.?error|api error|unavailable|bad gateway|time-?d? ?out|temporar|try again|retry|\bbusy\b"
    r"|capacity|upstream|(?<!error )\bloading\b|warming up|starting up|not (?:yet )?ready|繁忙|稍后",
    re.IGNORECASE,
)
"""What went wrong may be over in a while; looked for in an error that came with the status of success."""

LASTING = re.compile(r"more system memory|model architecture|unsupported model|failed to load model", re.IGNORECASE)
"""What went wrong at a server will go wrong again; looked for in an error with a status of failure."""

WRONG_KEY = re.compile(
    r"api.?key (?:is )?(?:not valid|invalid|expired)|(?:invalid|incorrect|wrong) api.?key", re.IGNORECASE
)
"""A refusal of the key; looked for in one that came with a status for requests."""

NO_POLICY = re.compile(
    r"polic|privacy|guardrail|allowed providers|provider routing|support (?:tool|image|the)", re.IGNORECASE
)
"""Words of a 404 that are about what an account allows, and neither about a name nor about an address."""

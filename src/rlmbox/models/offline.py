"""`offline:extractive`: a baseline that needs no network and no weights.

As a root it writes the cells that a careful reader would begin with: how large is the text, where do the words of
the question stand, which passages hold most of them, what do those say. As a reader it picks sentences. It cannot
conclude, count or compare: it quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import anyio.to_thread

from rlmbox.models.base import Price
from rlmbox.models.extract import best_sentences, is_name, question_phrases, question_words
from rlmbox.models.prices import FREE
from rlmbox.types import Completion, Message, Usage

NOTICE = (
    "offline:extractive only quotes sentences from the text; for answers name a model, such as --model openai:gpt-5"
)
"""What users are told when this model works for them."""

_NOT_FOUND = "NOT FOUND"
_QUESTION = re.compile(r"\AQuestion:\n(.*?)\n\nAbout the text in `context`:", re.DOTALL)

_LOOK = """\
patterns = {patterns}
importance = {importance}
print(ctx.metadata())
counts = {{}}
for name in patterns:
    counts[name] = ctx.count(patterns[name], regex=True)
print(counts)"""

_SEARCH = """\
hits = []
for name in sorted(patterns, key=lambda name: counts[name]):
    if counts[name] > 0 and len(hits) < 600:
        hits = hits + ctx.find(patterns[name], regex=True, max_matches=200)
weights = {}
for name in patterns:
    if counts[name] > 0:
        weights[name] = importance[name] / (1.0 + math.log(counts[name]))
scored = []
for hit in hits:
    score = 0.0
    for name in weights:
        if re.search(patterns[name], hit['snippet']):
            score = score + weights[name]
    scored.append((-score, hit['start'], hit))
scored = sorted(scored, key=lambda item: (item[0], item[1]))
passages = []
for score, start, hit in scored:
    if len(passages) < 24 and all(abs(start - other['start']) > 200 for other in passages):
        passages.append(hit)
print(len(hits), 'matches;', len(passages), 'passages to read')
for hit in passages[:5]:
    print(hit['document'], 'line', hit['line'], ':', hit['match'][:80])"""

_READ_PASSAGES = """\
texts = ['[' + hit['document'] + ', line ' + str(hit['line']) + ']\\n' + hit['snippet'] for hit in passages]"""

_READ_ALL = """\
texts = ctx.chunk({size}, {overlap})"""

_READ = """\
groups = ['\\n\\n'.join(texts[i:i + {per_prompt}]) for i in range(0, len(texts), {per_prompt})]
readings = llm_query_batched([{prompt}] * len(groups), groups) if groups else []
found = [reading for reading in readings if reading != 'NOT FOUND' and not reading.startswith('Error:')]
print(len(groups), 'parts read,', len(found), 'with an answer')"""

_CONCLUDE = """\
best = llm_query({prompt}, '\\n\\n'.join(found)) if found else 'NOT FOUND'
sources = []
for line in best.split('\\n'):
    label = re.search(r' \\[([^\\]]+?)(, line \\d+)?\\]$', line)
    words = (line[:label.start()] if label else line).split()[:40]
    if words and best != 'NOT FOUND':
        pattern = r'\\s+'.join(re.escape(word) for word in words)
        places = ctx.find(pattern, regex=True, max_matches=50)
        named = [place for place in places if label and place['document'] == label.group(1)]
        sources = sources + (named or places)[:1]
FINAL('The text does not say.' if best == 'NOT FOUND' else best, sources=sources)"""

_SMALL_TEXT_CHARS = 200_000  # below it every part is read, which is surer than searching
_PART_CHARS, _OVERLAP_CHARS = 8_000, 400


class OfflineModel:
    """The extractive baseline; see the module.

    It is deterministic: the same messages get the same reply.
    """

    name = "offline:extractive"
    window_tokens = 10_000_000

    @property
    def price(self) -> Price:
        """It costs nothing."""
        return FREE

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Answer as a root where there is a system message, as a reader where there is none; see `Model.complete`."""
        if messages[0].role == "system":
            text = _next_reply(messages)
        else:
            # Ranking takes milliseconds, which other sub-calls need not wait for.
            text = await anyio.to_thread.run_sync(_read, messages[-1].content)
        usage = Usage(
            sum(len(message.content.encode()) // 4 + 1 for message in messages), 0, len(text.encode()) // 4 + 1, 0, 1
        )
        return Completion(text, usage, self.name)


def _next_reply(messages: Sequence[Message]) -> str:
    """Return the root's next cell; which one follows from how many it has written."""
    match = _QUESTION.match(messages[1].content)
    question = match.group(1) if match else messages[1].content
    turn = sum(message.role == "assistant" for message in messages)
    if "[SYSTEM EXECUTION ERROR]" in messages[-1].content or turn >= 4:
        return 'FINAL("The text could not be searched for this question.")'
    prompt = json.dumps(f"Question: {question}", ensure_ascii=False)
    length = re.search(r'"length": (\d+)', messages[1].content)
    small = length is not None and int(length.group(1)) <= _SMALL_TEXT_CHARS
    patterns = _patterns(question)
    importance = {name: (1 + (" " in name)) * (4 if any(map(is_name, name.split())) else 1) for name in patterns}
    cells = [
        _LOOK.format(patterns=json.dumps(patterns, ensure_ascii=False), importance=json.dumps(importance)),
        _READ_ALL.format(size=_PART_CHARS, overlap=_OVERLAP_CHARS) if small else _SEARCH,
        _READ.format(prompt=prompt, per_prompt=1)
        if small
        else f"{_READ_PASSAGES}\n{_READ.format(prompt=prompt, per_prompt=6)}",
        _CONCLUDE.format(prompt=prompt),
    ]
    thoughts = (
        "How large is it, and where do the words stand?",
        "Which parts matter?",
        "What do they say?",
        "What is best?",
    )
    return f"{thoughts[turn]}\n```repl\n{cells[turn]}\n```"


def _patterns(question: str) -> dict[str, str]:
    """Return regular expressions for a question's words and phrases, that also find other endings of a word."""
    found = {}
    for phrase in [*question_phrases(question), *question_words(question)][:16]:
        words = [_stem(part, word) for word in phrase.split() for part in re.findall(r"\w+", word)]
        if words:
            found[phrase] = r"(?i)\b" + r"\W+".join(words)
    return found


def _stem(part: str, word: str) -> str:
    """Return a pattern for a part of a word: with any ending where the word is an ordinary one, whole in a name."""
    if part.isalpha() and part.islower() and len(part) > 4 and not is_name(word):
        return part[: max(4, len(part) - 2)] + r"\w*"
    return part + r"\b"


def _read(prompt: str) -> str:
    """Pick the sentences of a prompt's text that answer its question."""
    head, named, rest = prompt.partition("Question: ")
    question, _, text = (rest if named and len(head) < 1_000 else prompt).partition("\n\n")
    best = best_sentences(question, text)
    answer = "\n".join(f"{s.text} [{s.label}]" if s.label else s.text for s in best) or _NOT_FOUND
    return json.dumps(answer, ensure_ascii=False) if "Reply with one JSON value" in prompt else answer

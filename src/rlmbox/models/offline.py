"""`offline:extractive`: a baseline that needs no network and no weights.

As a root it writes the cells with which a careful reader would begin: how long is the text, how often do the words of
the question occur in it, which passages fit them best, what do those say; or it counts, if the question asks for that.
As a reader it extracts sentences. It cannot infer or compare: it quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypedDict

import anyio.to_thread

from rlmbox.models.base import Price
from rlmbox.models.extract import best_sentences, is_name, question_phrases, question_words
from rlmbox.models.prices import FREE
from rlmbox.models.replies import whole_characters
from rlmbox.types import Completion, Message, Usage

NOTICE = (
    "offline:extractive only quotes sentences from the text; for answers name a model, such as --model openai:gpt-5"
)
"""What users are told when this model works for them."""

_NOT_FOUND = "NOT FOUND"
_ERROR = re.compile(r"\A(?:[^<]*<output (\w+)>\n.*?\n</output \1>\n)*[^<]*\[SYSTEM EXECUTION ERROR\]", re.DOTALL)
_QUESTION = re.compile(r"\AQuestion:\n(.*?)\n\nAbout the text in `context`:", re.DOTALL)

_LOOK = """\
patterns = {patterns}
print(ctx.metadata())
counts = {{}}
for word in patterns:
    counts[word] = ctx.count(word) if lenP() > 2000000 else ctx.count(patterns[word], regex=True)
print(counts)"""

_RANK = """\
try:
    ranked = ctx.rank({query}, {most})
except ValueError as error:
    print(error)
    ranked = []
single = ctx.num_documents() == 1
chars = lenP()
texts = []
for name in {names}:
    pattern = r'(?m)^[ \\t]*(?:class|def|async def|function|func|fn|struct|interface|enum|trait|type)[ \\t]+'
    for hit in ctx.find(pattern + re.escape(name) + r'\\b', regex=True, max_matches=10):
        label = '' if single else '===== ' + hit['document'] + ' =====\\n'
        texts.append(label + ctx.slice(hit['start'], hit['end'] + 300))
for passage in ranked:
    label = '' if single else '===== ' + passage['document'] + ' =====\\n'
    texts.append(label + ctx.slice(passage['start'], passage['end']))
print(len(texts), 'passages to read')
for passage in ranked[:5]:
    print(passage['document'], passage['score'], passage['snippet'][:80])"""

_SEARCH = """\
if context.startswith('The text of this question is in an index'):
    texts = []
passages = []
for hit in search({query}, {most}):
    text = get_document(hit['id'], hit['start'], hit['end'] - hit['start'])
    passages.append((hit, ' '.join(text.split())))
    texts.append('===== ' + (hit['title'] or hit['id']) + ' =====\\n' + text)
    chars = chars + len(text)
    for word in patterns:
        counts[word] = counts[word] + len(re.findall(patterns[word], text))
print(len(passages), 'passages of the index to read')
for hit, text in passages[:5]:
    print(hit['id'], hit['score'], hit['snippet'][:80])"""

_READ = """\
facts = 'Counts: ' + json.dumps({{'chars': chars, 'counts': counts}})
best = llm_query({prompt} + '\\n' + facts, '\\n\\n'.join(texts)) if texts else 'NOT FOUND'
print(best[:2000])"""

_CITED = """
        quote = ' '.join(words)
        cited = [hit for hit, text in passages if quote in text]
        named = [hit for hit in cited if label and label.group(1) in (hit['title'], hit['id'])]
        sources = sources + (named or cited)[:1]"""

_CONCLUDE = """\
sources = []
for line in best.split('\\n'):
    label = re.search(r' \\[([^\\]]+?)(, line \\d+)?\\]$', line)
    words = (line[:label.start()] if label else line).split()[:40]
    if words and best != 'NOT FOUND':
        pattern = r'\\s+'.join(re.escape(word) for word in words)
        places = ctx.find(pattern, regex=True, max_matches=50)
        named = [place for place in places if label and place['document'] == label.group(1)]
        sources = sources + (named or places)[:1]{cited}
FINAL('The text does not say.' if best == 'NOT FOUND' else best, sources=sources)"""

_COUNT_TEXT = """\
word = {word}
pattern = re.escape(word)
whole = r'\\b' + pattern + r'\\b'
times = ctx.count(word)
plural = 'time' if times == 1 else 'times'
FINAL('"' + word + '" occurs ' + str(times) + ' ' + plural + ', '
      + str(ctx.count(whole, regex=True)) + ' of them as a whole word and '
      + str(ctx.count(pattern, regex=True, case_sensitive=False)) + ' in upper or lower case.')"""

_COUNT_DOCUMENTS = """\
word = {word}
names = []
for hit in ctx.find(word, case_sensitive=False, max_matches=10000):
    if hit['document'] not in names:
        names.append(hit['document'])
total = str(ctx.num_documents())
FINAL(str(len(names)) + ' of ' + total + ' documents have "' + word + '".\\n' + '\\n'.join(names[:20]))"""

_COUNT_UNITS = """\
facts = ctx.metadata()
sizes = {{'document': ctx.num_documents(), 'page': ctx.num_pages(), 'line': facts['lines'], 'character': lenP(),
         'word': ctx.count(r'\\w+', regex=True)}}
FINAL('There are ' + str(sizes[{unit}]) + ' ' + {unit} + 's.')"""

_PASSAGES = 30
_INDEX = "The text of the question is in an index"  # in the system message of a run with a retriever
_THINGS = r"(?:files?|documents?|texts?|chapters?|records?)"
_HAVE = r"(?:mention|contain|have|use|include|name|refer to|speak of)s?(?: the)?(?: words?| terms?| names?| texts?)?"
_OCCUR = r"(?:occurs?|appears?|(?:is|are|was|were) (?:mentioned|used|named|found)|come up|comes up|show up|shows up)"
_HOW_OFTEN = re.compile(
    rf"how (?:many times|often) (?:does |do |is |are |was |were )?(?:the )?(?:word |term |name |phrase |text )?(.+?)"
    rf" (?:{_OCCUR}|occur|appear|mentioned|used|named|found)\b",
    re.IGNORECASE,
)
_HOW_MANY_HAVE = re.compile(rf"(?:in )?how many {_THINGS} (?:{_HAVE}) (.+)", re.IGNORECASE)
_HOW_MANY = re.compile(
    rf"how many ({_THINGS}|pages?|lines?|characters?|words?)"
    r"(?: (?:are there|are in|does|do|is|has|have|in)\b"
    r"(?: (?:it|the|this|they|these|text|context|folder|have|there|in|here))*)?",
    re.IGNORECASE,
)


class OfflineModel:
    """The extractive baseline; see the module.

    Deterministic: the same messages get the same reply.
    """

    name = "offline:extractive"
    window_tokens = 10_000_000

    @property
    def price(self) -> Price:
        """Zero."""
        return FREE

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Answer as a root if there is a system message, otherwise as a reader; see `Model.complete`."""
        if messages[0].role == "system":
            text = _next_reply(messages)
        else:
            # Ranking takes milliseconds, during which other sub-calls should not be blocked.
            text = await anyio.to_thread.run_sync(_read, messages[-1].content)
        usage = Usage(
            sum(len(message.content.encode("utf-8", "replace")) // 4 + 1 for message in messages),
            0,
            len(text.encode("utf-8", "replace")) // 4 + 1,
            0,
            1,
        )
        return Completion(text, usage, self.name)


def _next_reply(messages: Sequence[Message]) -> str:
    """Return the root's next cell, determined by the number of cells written so far."""
    match = _QUESTION.match(messages[1].content)
    question = whole_characters(match.group(1) if match else messages[1].content)
    turn = sum(message.role == "assistant" for message in messages)
    if _ERROR.search(messages[-1].content) or turn >= 4:
        return 'FINAL("The text could not be searched for this question.")'
    thought, cell = _steps(question, has_index=_INDEX in messages[0].content)[turn]
    return f"{thought}\n```repl\n{cell}\n```"


def _steps(question: str, *, has_index: bool) -> list[tuple[str, str]]:
    """Return the root's thoughts and cells, turn by turn."""
    look = _LOOK.format(patterns=_json(_patterns(question)))
    steps = [("How large is it, and how often do the words stand in it?", look)]
    if not has_index and (counting := _counting(question)) is not None:
        return [*steps, *[("That can be counted.", counting)] * 3]
    names = [word for word in question_words(question) if is_name(word) and word.isidentifier()][:4]
    query = _json(" ".join([*question_words(question), *question_phrases(question)][:40]) or question)
    find = _RANK.format(query=query, most=_PASSAGES, names=_json(names))
    if has_index:
        find += "\n" + _SEARCH.format(query=query, most=_PASSAGES)
    return [
        *steps,
        ("Which passages fit best?", find),
        ("What do they say?", _READ.format(prompt=_json(f"Question: {question}"))),
        ("Where does it say so?", _CONCLUDE.format(cited=_CITED if has_index else "")),
    ]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _counting(question: str) -> str | None:
    """Return a cell that answers a question by counting; None if it asks for something else."""
    asked = " ".join(question.split()).rstrip("?!. ")
    if found := _HOW_OFTEN.match(asked):
        return _COUNT_TEXT.format(word=_json(_unquoted(found[1])))
    if found := _HOW_MANY_HAVE.match(asked):
        return _COUNT_DOCUMENTS.format(word=_json(_unquoted(found[1])))
    if found := _HOW_MANY.fullmatch(asked):
        unit = found[1].lower().removesuffix("s")
        return _COUNT_UNITS.format(unit=_json(unit if unit in ("page", "line", "character", "word") else "document"))
    return None


def _unquoted(text: str) -> str:
    stripped = text.strip().strip("\"'`\u201c\u201d\u2018\u2019").strip()
    return stripped or text


def _patterns(question: str) -> dict[str, str]:
    """Return regular expressions for a question's words that also match their inflections."""
    found = {}
    for word in question_words(question)[:16]:
        parts = [_stem(part, word) for part in re.findall(r"\w+", word)]
        if parts:
            found[word] = r"(?i)\b" + r"\W+".join(parts)
    return found


def _stem(part: str, word: str) -> str:
    """Return a pattern for a part of a word: with any ending if the word is an ordinary one, exact in a name."""
    if part.isalpha() and part.islower() and len(part) > 4 and not is_name(word):
        return part[: max(4, len(part) - 2)] + r"\w*"
    return part + r"\b"


def _read(prompt: str) -> str:
    """Extract the sentences of a prompt's text that answer its question."""
    head, named, rest = prompt.partition("Question: ")
    question, _, text = (rest if named and len(head) < 1_000 else prompt).partition("\n\n")
    question, facts = _facts(question)
    best = best_sentences(question, text, counts=facts.get("counts"), chars=facts.get("chars"))
    answer = "\n".join(f"{s.text} [{s.label}]" if s.label else s.text for s in best) or _NOT_FOUND
    return json.dumps(answer, ensure_ascii=False) if "Reply with one JSON value" in prompt else answer


class _Facts(TypedDict, total=False):
    chars: int
    counts: dict[str, int]


def _facts(question: str) -> tuple[str, _Facts]:
    """Split the root's counts from a question."""
    asked, found, counted = question.rpartition("\nCounts: ")
    try:
        facts = json.loads(counted) if found else None
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict) or not isinstance(facts.get("counts"), dict) or type(facts.get("chars")) is not int:
        return question, {}
    counts = {word: count for word, count in facts["counts"].items() if type(count) is int}
    return asked, {"chars": facts["chars"], "counts": counts}

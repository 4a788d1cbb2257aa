"""The table of key formats: every row is found by its own keyword, and has the page that it was written from."""

import random
import re
from collections import Counter

import pytest

from guard.sampling import sample
from rlmbox.guard.formats import FORMATS, KeyFormat
from rlmbox.guard.secrets import SecretDetector

ALL = SecretDetector()


def test_there_are_more_than_150_kinds_and_no_two_have_one_name() -> None:
    assert len(FORMATS) >= 150
    assert [kind for kind, number in Counter(each.kind for each in FORMATS).items() if number > 1] == []


def test_every_kind_has_the_page_of_its_issuer_and_a_name_for_placeholders() -> None:
    page, name = re.compile(r"https://[a-z0-9.-]+\.[a-z]+/\S*"), re.compile(r"[a-z][0-9a-z-]*[a-z]")
    assert [each.kind for each in FORMATS if not (page.fullmatch(each.page) and name.fullmatch(each.kind))] == []


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.kind)
def test_what_has_the_form_of_a_kind_is_found_in_a_line_of_text(each: KeyFormat) -> None:
    rng = random.Random(each.kind)
    for _ in range(8):
        secret = sample(each.pattern, rng)
        text = f"x ({secret}) y"
        found = [(f.start, f.end) for f in SecretDetector([each])(text)]
        assert found, secret
        assert 3 <= found[0][0] < found[0][1] <= 3 + len(secret), secret
        whole = [(f.start, f.end) for f in ALL(text)]
        assert any(start <= found[0][0] and found[0][1] <= end for start, end in whole), secret


def test_the_stand_in_of_a_manual_is_not_a_secret() -> None:
    texts = {
        each: f"set it to {each.keywords[0]}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, then go on"
        for each in FORMATS
        if not each.ignores_case
    }
    assert [each.kind for each, text in texts.items() if list(SecretDetector([each])(text))] == []


def test_a_private_key_that_is_cut_hides_what_looks_like_it_and_not_the_rest() -> None:
    body = "\n".join(["MIIEpAIBAAKCAQEA7bq1XvZ0sQf8" * 2] * 5)
    text = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n\nand then the report goes on."
    (found,) = SecretDetector()(text)
    assert text[found.end :].lstrip() == "and then the report goes on."


@pytest.mark.parametrize(
    "text",
    [
        "It begins with -----BEGIN PRIVATE KEY----- and is kept in a file of its own (see below).",
        'MARKS = ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----")',
    ],
)
def test_the_words_around_a_private_key_are_no_key(text: str) -> None:
    assert list(SecretDetector()(text)) == []


@pytest.mark.parametrize("newline", ["\n", "\\n", "\r\n", '\\n"\n"', "\n> "])
def test_a_private_key_is_found_however_its_lines_are_joined(newline: str) -> None:
    body = newline.join(["MIIEpAIBAAKCAQEA7bq1XvZ0sQf8" * 2] * 5)
    text = f'key = "-----BEGIN PRIVATE KEY-----{newline}{body}{newline}-----END PRIVATE KEY-----" # mine'
    (found,) = SecretDetector()(text)
    assert text[: found.start] + text[found.end :] == 'key = "" # mine'


def test_a_keyword_within_another_is_seen() -> None:
    (found,) = SecretDetector()("e595ab50968d5f76b0d0a746ead55cfc-us20")
    assert found.kind == "mailchimp-key"

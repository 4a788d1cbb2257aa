"""The guard as a whole: what each path, policy and model gets, and what the user gets back."""

import json
import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.conftest import prose
from rlmbox.context import Context
from rlmbox.errors import ConfigError
from rlmbox.guard import Checked, CopyBudgets, Finding, Guard, GuardPath, OutputBounds, RunGuard

PATHS: tuple[GuardPath, ...] = get_args(GuardPath)
CANARY = "ghp_q7Rk2mVx9Lt4Zw8Np3Yb6Hc1Jd5Fs0Gu2Aie"
MAIL = "ana.souza@empresa.com.br"


def check(text: str, guard: Guard | None = None, path: GuardPath = "observation") -> Checked:
    return (guard or Guard()).for_run().check(text, path=path, model="openai:gpt-5")


# ---- what is hidden -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_a_canary_gets_through_on_no_path(path: GuardPath) -> None:
    checked = check(f"the token is {CANARY}, ask {MAIL}", path=path)
    assert checked.text == "the token is <REDACTED: github-token>, ask <REDACTED: email>"
    assert checked.is_changed
    assert [(f.kind, f.start, f.end) for f in checked.findings] == [("github-token", 13, 53), ("email", 59, 83)]


def test_the_same_value_has_the_same_number_in_all_of_a_run() -> None:
    run = Guard().for_run()
    first = run.check(f"{MAIL} wrote to bob@example.org and 529.982.247-25", path="observation", session="root").text
    second = run.check(
        f"to: bob@example.org, cc: {MAIL.upper()}, CPF 52998224725", path="subcall", session="child"
    ).text
    assert first == "<REDACTED: email> wrote to <REDACTED: email 2> and <REDACTED: cpf>"
    assert second == "to: <REDACTED: email 2>, cc: <REDACTED: email>, CPF <REDACTED: cpf>"
    other = Guard().for_run().check("bob@example.org", path="observation").text
    assert other == "<REDACTED: email>"


def test_the_user_gets_values_back_and_a_model_never_does() -> None:
    run = Guard().for_run()
    seen = run.check(f"contact: {MAIL}", path="observation").text
    assert MAIL not in seen
    assert run.restore("The address is <REDACTED: email>.") == f"The address is {MAIL}."
    value = {"mail": ["<REDACTED: email>", 3, None], "<REDACTED: email>": True}
    assert run.restore_value(value) == {"mail": [MAIL, 3, None], MAIL: True}


def test_a_placeholder_that_the_run_did_not_make_stays_as_it_is() -> None:
    run = Guard().for_run()
    run.check(MAIL, path="observation")
    text = "<REDACTED: email 7> and <REDACTED: cpf> and <REDACTED: >"
    assert run.restore(text) == text


@given(st.text(alphabet=st.characters(codec="utf-8", categories=["L", "P", "Zs", "Sm", "Sc"])))
def test_where_nothing_is_found_a_text_is_unchanged(text: str) -> None:
    for path in ("answer", "tool", "export"):
        checked = check(text, path=path)
        if not any(finding.effect == "hidden" for finding in checked.findings):
            assert checked.text == text
            assert not checked.is_changed


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_is_restored_is_what_was_checked(before: str, after: str) -> None:
    run = Guard().for_run()
    text = f"{before} {CANARY} {after}"
    checked = run.check(text, path="export")
    assert CANARY not in checked.text
    assert run.restore(checked.text) == text or "<REDACTED" in text or _differs_in_writing(checked)


def _differs_in_writing(checked: Checked) -> bool:
    """Whether two values that are one but for how they are written were found; one of the two is given back."""
    return any(f.kind in {"email", "phone", "card", "cpf", "cnpj", "iban"} for f in checked.findings)


@pytest.mark.parametrize(
    "hidden",
    [
        CANARY[:10] + "\u200b" + CANARY[10:],
        CANARY[:10] + "\u2060\ufeff" + CANARY[10:],
        "".join(chr(ord(c) + 0xFEE0) for c in CANARY),
        CANARY.replace("p", "\u0440").replace("c", "\u0441"),
        "".join(chr(0x1D7D8 + int(c)) if c.isdigit() else c for c in CANARY),
        "".join(chr(0x660 + int(c)) if c.isdigit() else c for c in CANARY),
    ],
    ids=["zero-width", "joiners", "full width", "Cyrillic letters", "mathematical digits", "Arabic digits"],
)
def test_disguises_of_unicode_do_not_help(hidden: str) -> None:
    checked = check(f"é {hidden} ok", path="export")
    assert checked.text == "é <REDACTED: github-token> ok"


@pytest.mark.parametrize("cpf", ["５２９．９８２．２４７－２５", "529.982.247-25", "٥٢٩.٩٨٢.٢٤٧-٢٥"])  # noqa: RUF001
def test_numbers_in_digits_of_any_script_are_the_same_number(cpf: str) -> None:
    assert check(f"CPF: {cpf}.", path="export").text == "CPF: <REDACTED: cpf>."


def test_findings_and_reports_hold_no_values_and_are_json() -> None:
    run = Guard(known_secrets=["correct-horse-battery-42"]).for_run()
    checked = run.check(f"{CANARY} {MAIL} correct-horse-battery-42", path="observation")
    for told in (json.dumps(checked.as_json()), json.dumps(run.report()), repr(run.guard), repr(run)):
        for value in (CANARY, MAIL, "correct-horse"):
            assert value not in told
    assert run.report()["different_values"] == {"github-token": 1, "email": 1, "known-secret": 1}


def test_digests_are_warned_of_and_stay_and_uuids_are_nothing() -> None:
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    text = f"sha256 {digest}, id 123e4567-e89b-12d3-a456-426614174000"
    checked = check(text)
    assert checked.text == text
    assert [(f.kind, f.effect) for f in checked.findings] == [("hex-digest", "warned")]
    assert "<REDACTED: hex-digest>" in check(text, Guard("strict")).text


# ---- policies -------------------------------------------------------------------------------------------------------


def test_a_local_model_may_see_what_a_cloud_model_may_not() -> None:
    run = Guard("redact", per_model={"ollama:*": "off"}).for_run()
    assert run.check(MAIL, path="subcall", model="ollama:llama3").text == MAIL
    assert run.check(MAIL, path="subcall", model="openai:gpt-5").text == "<REDACTED: email>"
    assert run.check(MAIL, path="export").text == "<REDACTED: email>"


def test_a_path_may_have_a_policy_of_its_own() -> None:
    run = Guard(per_path={"tool": "off"}).for_run()
    assert run.check(MAIL, path="tool").text == MAIL
    assert run.check(MAIL, path="observation").text == "<REDACTED: email>"


def test_off_hides_nothing_but_length_and_bytes() -> None:
    run = Guard("off").for_run(Context.from_text(prose(100_000)))
    assert run.check(f"{CANARY} {MAIL}", path="observation").text == f"{CANARY} {MAIL}"
    assert run.check(prose(15_000), path="observation").text == prose(15_000)
    assert "Output Truncated" in run.check(prose(30_000), path="observation").text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "stern"}, "'stern' is not a policy of the guard; choose one of off, redact, strict"),
        ({"per_model": {"*": "open"}}, "'open' is not a policy"),
        ({"per_path": {"mail": "off"}}, "'mail' is not a path of the guard; choose one of observation, "),
    ],
)
def test_a_setting_that_does_not_exist_is_an_error_that_names_the_choices(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Guard(**arguments)  # type: ignore[arg-type]


def test_what_is_allowed_stays_and_kinds_may_be_ignored() -> None:
    guard = Guard(allow=["Info@Example.com", re.compile(r".*@empresa\.com\.br")], ignore=["phone"])
    text = "info@example.com, ana@empresa.com.br, (11) 91234-5678, bob@example.org"
    assert check(text, guard).text == "info@example.com, ana@empresa.com.br, (11) 91234-5678, <REDACTED: email>"


def test_a_detector_of_ones_own_is_asked_too() -> None:
    def case_numbers(text: str) -> Iterator[Finding]:
        return (Finding("case-number", m.start(), m.end()) for m in re.finditer(r"AZ-\d{4}/\d\d", text))

    guard = Guard(detectors=[case_numbers])
    assert check("Akte AZ-1234/26\u200b, AZ-9999/25", guard, "export").text == (
        "Akte <REDACTED: case-number>\u200b, <REDACTED: case-number 2>"
    )


def test_kinds_of_ones_own_may_have_any_name_and_values_come_back() -> None:
    run = Guard(detectors=[lambda text: [Finding("Aktenzeichen (intern)", 0, 7, "named")]]).for_run()
    seen = run.check("AZ-1234 x", path="observation").text
    assert seen == "<REDACTED: Aktenzeichen (intern)> x"
    assert run.restore(seen) == "AZ-1234 x"


def test_a_detector_that_fails_lets_nothing_through() -> None:
    def broken(_: str) -> list[Finding]:
        raise ValueError(f"cannot cope with {CANARY}")

    with pytest.raises(ConfigError, match="the detector broken failed") as caught:
        check("anything", Guard(detectors=[broken]))
    assert CANARY not in str(caught.value)
    with pytest.raises(ConfigError, match="outside of the text"):
        check("short", Guard(detectors=[lambda _: [Finding("x", 2, 99)]]))


# ---- secrets of the host --------------------------------------------------------------------------------------------

SECRET = "Zx81-kQ7w.Tr55_mnB2+Yh0e"


@pytest.mark.parametrize(
    "encode",
    [
        str,
        lambda s: s[::-1],
        lambda s: s.encode().hex(),
        lambda s: s.encode().hex().upper(),
        lambda s: __import__("base64").b64encode(s.encode()).decode(),
        lambda s: __import__("base64").b64encode(f"k={s}".encode()).decode(),
        lambda s: __import__("base64").urlsafe_b64encode(f"ab{s}".encode()).decode(),
        lambda s: __import__("urllib.parse").parse.quote(s, safe=""),
        lambda s: s[:18],
        lambda s: s[4:21],
    ],
    ids=["plain", "reversed", "hex", "HEX", "base64", "base64+2", "base64url+2", "percent", "head", "middle"],
)
def test_a_secret_of_the_host_is_found_in_every_form(encode: object) -> None:
    shown = str(encode(SECRET))  # type: ignore[operator]
    run = Guard(known_secrets=[SECRET]).for_run()
    checked = run.check(f"<{shown}>", path="export")
    assert [f.kind for f in checked.findings] == ["known-secret"]
    left = re.sub("<REDACTED[^>]*>", "", checked.text)
    assert not any(left[at : at + 6] in shown for at in range(len(left) - 6))


def test_an_ordinary_password_is_found_whole_and_its_parts_are_words() -> None:
    run = Guard(known_secrets=["password of the house"]).for_run()
    assert run.check("the password of the house!", path="export").text == "the <REDACTED: known-secret>!"
    assert run.check("a password; the house", path="export").text == "a password; the house"


def test_secrets_of_the_host_are_in_nothing_that_is_pickled_or_printed() -> None:
    from rlmbox.guard.known import KnownSecrets, secrets_of_environment

    known = KnownSecrets([SECRET])
    assert SECRET not in repr(known)
    assert SECRET.encode() not in pickle.dumps(known)
    environ = {"OPENAI_API_KEY": SECRET, "HOME": "/home/ana", "DB_PASSWORD": "x", "KEYBOARD": "de-latin1"}
    assert secrets_of_environment(environ) == (SECRET,)


# ---- length ---------------------------------------------------------------------------------------------------------


def test_a_long_output_keeps_head_and_tail_and_counts_what_is_hidden() -> None:
    lines = [f"line {n}" for n in range(10_000)]
    text = "\n".join(lines)
    checked = check(text)
    marker = re.search(r"\.\.\. \[Output Truncated: ([0-9,]+) lines, ([0-9,]+) bytes hidden\] \.\.\.", checked.text)
    assert marker
    before, after = checked.text[: marker.start()], checked.text[marker.end() :]
    head = before if text.startswith(before) else before.removesuffix("\n")
    tail = after if text.endswith(after) else after.removeprefix("\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert (len(head), len(tail)) == (10_000, 10_000)
    hidden = text[len(head) : len(text) - len(tail)]
    assert marker.groups() == (f"{hidden.count(chr(10)):,}", f"{len(hidden.encode()):,}")
    assert checked.hidden_chars == len(hidden)


@pytest.mark.parametrize("extra", [1, 5_000, 20_000, 300_000])
@pytest.mark.parametrize("at", [9_990, -9_990])
def test_a_secret_at_the_cut_is_hidden_whole(extra: int, at: int) -> None:
    filler = "word " * ((20_000 + extra) // 5)
    place = at if at > 0 else len(filler) + at
    text = f"{filler[:place]} {CANARY} {filler[place:]}"
    shown = check(text).text
    assert not any(CANARY[n : n + 8] in shown for n in range(len(CANARY) - 8))


@pytest.mark.parametrize(
    "large", ["x" * 9_000, "eyJ" + "aB3" * 3_000 + ".eyJ" + "c4D" * 3_000 + ".sig"], ids=["words", "token"]
)
def test_what_is_hidden_in_the_tail_does_not_bring_up_what_was_looked_at_before_it(large: str) -> None:
    text = "word " * 8_000 + f"{CANARY} " + "y" * 10 + f" {large} " + "end " * 500
    for extra in range(0, 60, 7):
        shown = check(text + "z" * extra).text
        assert not any(CANARY[n : n + 8] in shown for n in range(len(CANARY) - 8))


@given(st.integers(0, 40), st.sampled_from(["0x", "", "f", "a1b2c3d4" * 3 + " "]), st.sampled_from(["", "==", "q"]))
def test_a_blob_beside_a_digest_or_within_one_is_named(cut: int, before: str, after: str) -> None:
    shown = check(f"data: {before}{'deadbeef01' * 100}{'ab' * cut}{after}").text
    assert "hexadecimal data" in shown or "base64 data" in shown


def test_a_megabyte_is_cut_without_being_read() -> None:
    filler = "word and word " * 200_000
    checked = check(filler)
    assert len(checked.text) < 20_200
    assert checked.hidden_chars == pytest.approx(len(filler) - 20_000, abs=4)


def test_outputs_of_one_turn_share_its_bounds_and_the_next_turn_has_its_own() -> None:
    run = Guard(bounds=OutputBounds(turn_chars=1_000, head_share=0.5)).for_run()
    first = run.check("a" * 900, path="observation", turn=1).text
    second = run.check("b" * 900, path="observation", turn=1).text
    third = run.check("c" * 900, path="observation", turn=2).text
    assert (first, third) == ("a" * 900, "c" * 900)
    assert second.replace("bytes", "").count("b") == 100


def test_a_session_that_printed_its_share_still_sees_a_little() -> None:
    bounds = OutputBounds(turn_chars=1_000, session_chars=3_000, least_chars=200)
    run = Guard(bounds=bounds).for_run()
    sizes = [run.check("x" * 1_000, path="observation", session="s", turn=n).text.count("x") for n in range(6)]
    assert sizes[:3] == [1_000] * 3
    assert sizes[4:] == [200, 200]
    assert run.check("x" * 1_000, path="observation", session="other", turn=1).text.count("x") == 1_000


def test_bounds_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="head_share must be a number from 0 to 1"):
        OutputBounds(head_share=2)


# ---- together -------------------------------------------------------------------------------------------------------


def test_threads_share_one_table_and_one_allowance() -> None:
    text = prose(200_000, seed=4)
    run = Guard(budgets=CopyBudgets(turn_chars=100_000, run_chars=20_000, run_share=0)).for_run(Context.from_text(text))

    def work(n: int) -> str:
        return run.check(
            f"user{n % 10}@example.org\n{text[n * 1_000 : n * 1_000 + 900]}", path="observation", turn=n
        ).text

    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(work, range(100)))
    assert run.report()["different_values"] == {"email": 10}
    assert run.report()["copied_chars"] == pytest.approx(20_000, abs=30)
    by_user = {n % 10: re.match(r"<REDACTED: email( \d+)?>", output)[0] for n, output in enumerate(shown)}  # type: ignore[index]
    assert all(output.startswith(by_user[n % 10]) for n, output in enumerate(shown))


def test_the_index_may_be_built_beside_the_run() -> None:
    run: RunGuard = Guard().for_run(Context.from_text(prose(300_000)))
    run.prepare()
    assert run.check(prose(300_000)[:5_000], path="observation").cut_message


def test_a_path_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'mail' is not a path"):
        check("x", path="mail")  # type: ignore[arg-type]


def test_what_one_guard_finds_nothing_in_another_may_hide() -> None:
    text = "the word is heliotrope"
    assert Guard().findings(text) == []
    assert [each.kind for each in Guard(known_secrets=["heliotrope"]).for_run().secrets_in(text)] == ["known-secret"]
    own = Guard(detectors=[lambda seen: [Finding("flower", seen.index("helio"), len(seen))]])
    assert [each.kind for each in own.findings(text)] == ["flower"]
    digest = "9f86d081884c7d659a2feaa0c55ad015"
    assert [each.effect for policy in ("redact", "strict") for each in Guard(policy).findings(digest)] == [
        "warned",
        "hidden",
    ]

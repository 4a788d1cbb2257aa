"""Rich Text, and pages: what the format's own program shows is in the text, or a note says that it is not."""

from pathlib import Path

import pytest

from rlmbox.context import Context

FONTS = r"{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial;}{\f2\fcharset128 Gothic;}}"
START = rf"{{\rtf1\ansi\ansicpg1252\deff0{FONTS}\f0 "


@pytest.fixture(autouse=True)
def _cache(cache_home: Path) -> None:
    pytest.importorskip("striprtf")


def rich(tmp_path: Path, body: str) -> Context:
    (tmp_path / "a.rtf").write_bytes((START + body + r"\par}").encode("latin-1"))
    return Context.from_path(tmp_path / "a.rtf")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (r"{\header\pard Confidential 77\par}Body", ["Header: Confidential 77", "Body"]),
        (r"{\headerf First page only}{\footerr Right 88\par}Body", ["Header: First page only", "Footer: Right 88"]),
        (r"Price{\super\chftn}{\footnote\pard\chftn {\b from} 4711\'e9.\par} holds", ["[note: from 4711é.]", "holds"]),
        (r"Price{\footnote\ftnalt {\i at the end} 4712} holds", ["[note: at the end 4712]"]),
        (r"Word{\*\annotation \pard check this 555} more", ["[comment: check this 555]"]),
        (r"A{\shp{\*\shpinst{\sp{\sn type}{\sv 202}}{\shptxt \pard In the box 31415\par}}{\shprslt old}}B", ["31415"]),
        (r"\{not a group\} {\footnote in {braces \} escaped}} end", ["{not a group}", "[note: in braces } escaped]"]),
        (r"{\footnote never ends", ["never ends"]),
        (r"\f1 \'cf\'f0\'e8\'e2\'e5\'f2 \f2 \'93\'fa\'96\'7b", ["Привет", "日本"]),
    ],
)
def test_what_stands_around_the_text_is_read(tmp_path: Path, body: str, expected: list[str]) -> None:
    text = rich(tmp_path, body).text()
    assert [part for part in expected if part not in text] == []


def test_pictures_are_told_and_counted_once(tmp_path: Path) -> None:
    body = r"Text{\*\shppict{\pict\pngblip 89504e47}}{\nonshppict{\pict\wmetafile8 0100}} and {\pict\jpegblip ffd8} end"
    context = rich(tmp_path, body)
    assert "89504e47" not in context.text()
    assert context.notes == ("has 2 pictures, whose text is not read",)


def page(tmp_path: Path, body: str) -> str:
    (tmp_path / "a.html").write_text(f"<html><body>{body}</body></html>", "utf-8")
    return Context.from_path(tmp_path / "a.html").text()


def test_a_label_over_several_rows_is_in_each_of_them(tmp_path: Path) -> None:
    rows = (
        "<tr><th>Region</th><th>City</th><th>Sales</th></tr>"
        "<tr><td rowspan=2>North</td><td>Kiel</td><td rowspan='3'>7</td></tr><tr><td>Husum</td></tr>"
        "<tr><td>South</td><td>Ulm</td></tr>"
    )
    text = page(tmp_path, f"<table>{rows}</table>")
    assert "| North | Kiel | 7 |" in text
    assert "| North | Husum | 7 |" in text
    assert "| South | Ulm | 7 |" in text


@pytest.mark.parametrize("span", ["0", "-1", "x", "99999999999999999999", "1000"])
def test_a_span_that_is_none_or_far_too_large_does_no_harm(tmp_path: Path, span: str) -> None:
    text = page(
        tmp_path, f"<table><tr><td rowspan={span}>A</td><td colspan={span}>1</td></tr><tr><td>2</td></tr></table>"
    )
    assert "A" in text
    assert "2" in text
    assert len(text) < 20_000


def test_fields_that_stand_apart_on_the_page_are_apart_in_the_text(tmp_path: Path) -> None:
    body = "<select><option>one</option><option>two</option></select><textarea>typed</textarea><label>Name</label>x"
    assert page(tmp_path, body).split() == ["one", "two", "typed", "Name", "x"]

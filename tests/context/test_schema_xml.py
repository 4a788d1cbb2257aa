"""The schema of XML, broken and hostile XML too."""

import json

import pytest

from context.schemas import schema


def test_xml_has_its_elements_with_counts_and_attributes_and_no_text():
    text = (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n<feed lang="pt"><title>Olá, segredo</title>'
        + '<entry id="1"><link href="x"/><p>a</p></entry>' * 3
        + "</feed>"
    )
    found = schema(text)
    assert found["kind"] == "xml"
    assert found["elements"] == [
        {"path": "feed", "count": 1, "attributes": ["lang"]},
        {"path": "feed/title", "count": 1, "text": True},
        {"path": "feed/entry", "count": 3, "attributes": ["id"]},
        {"path": "feed/entry/link", "count": 3, "attributes": ["href"]},
        {"path": "feed/entry/p", "count": 3, "text": True},
    ]
    assert "segredo" not in json.dumps(found)
    assert "note" not in found


BOMB = '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;&x;">]><a>&z;</a>'


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (BOMB, "it declares entities, which are not read"),
        ('<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><a/>', "it declares entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "it declares entities"),
        ("<a><b></a>", "it does not parse as XML after line 1: mismatched tag"),
        ("<a>" * 5_000, "it is nested too deeply to be read further"),
        ("no xml", "it does not parse as XML after line 1"),
    ],
)
def test_broken_or_hostile_xml_says_so(text: str, note: str):
    assert note in schema(text, "x.xml")["note"]


def test_an_external_subset_is_not_fetched():
    found = schema('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a><b/></a>', "x.xml")
    assert [element["path"] for element in found["elements"]] == ["a", "a/b"]


def test_elements_are_cut_and_it_says_so():
    found = schema("<a>" + "".join(f"<e{i} x='1'/>" for i in range(500)) + "</a>", "x.xml")
    assert (len(found["elements"]), found["more_elements"]) == (150, True)
    deep = schema("<a>" * 20 + "</a>" * 20, "x.xml")
    assert (len(deep["elements"]), deep["more_elements"]) == (6, True)


def test_long_xml_is_read_for_some_time_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.schema.schema._TIMEOUT_S", 0)
    found = schema("<a>" + "<b>x</b>" * 50_000 + "</a>", "x.xml")
    assert found["elements"][1]["count"] > 100
    assert "only the beginning" in found["note"]

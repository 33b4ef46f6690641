"""docs/errors.md: its codes are exactly those of the contract."""

from hub.builtin.openai.shapes import openai_error
from hub.contract.errors import UnknownVoice, all_errors
from tests.support.pages import read, tables

TABLES = tables(read("docs/errors.md"))


def test_the_table_is_the_error_tree():
    rows = [(code.strip("`"), int(status), meaning) for code, status, meaning, _ in TABLES[0][1:]]
    assert rows == [(error.code, error.status, " ".join(error.__doc__.split())) for error in all_errors()]


def test_every_code_says_what_to_do():
    assert all(len(advice) > 10 for *_, advice in TABLES[0][1:])


def test_the_codes_of_openai_are_those_that_are_sent():
    kinds = {error.code: error for error in all_errors()}
    plain = [row for row in TABLES[1][1:] if row[0].strip("`") in kinds]
    assert [row[0] for row in plain] == ["`unknown_model`", "`unknown_voice`", "`unauthorized`", "`rate_limited`"]
    for code, sent in plain:
        assert openai_error(kinds[code.strip("`")]("no")).error.code == sent.strip("`")
    renamed = {code for code, kind in kinds.items() if openai_error(kind("no")).error.code != code}
    assert renamed == {row[0].strip("`") for row in plain}


def test_the_example_is_what_is_sent():
    error = UnknownVoice("no", model="hibari", voices=["heart"])
    assert f'"code": "{error.code}"' in read("docs/errors.md")
    assert set(error.detail) == {"model", "voices"}

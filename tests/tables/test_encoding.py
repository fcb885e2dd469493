from __future__ import annotations

import codecs

import pytest

from pgstrata.errors import UsageError
from pgstrata.tables.encoding import find_encoding, transcoded
from pgstrata.tables.errors import InputError


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        (b"a,b\n", "utf-8"),
        ("é,ž\n".encode(), "utf-8"),
        (codecs.BOM_UTF8 + b"a", "utf-8"),
        ("\ufeffa,b".encode("utf-16-le"), "utf-16-le"),
        ("\ufeffa,b".encode("utf-16-be"), "utf-16-be"),
        ("\ufeffa,b".encode("utf-32-le"), "utf-32-le"),
        ("a,b\n1,2\n".encode("utf-16-le"), "utf-16-le"),
        ("café,naïve\n".encode("cp1252"), "cp1252"),
        ("žlutý kůň".encode() + b"\ncaf\xe9\n", "utf-8"),
        ("10 €, “quoted”\n".encode("cp1252"), "cp1252"),
    ],
)
def test_the_encoding_is_found(sample: bytes, name: str) -> None:
    """By the mark, by being UTF-8, or by being Western text."""
    assert find_encoding(sample).name == name


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет,мир", "cp1251"),
        ("łódź,żółw", "iso8859-2"),
        ("καλημέρα", "cp1253"),
        ("日本語", "shift_jis"),
        ("ağaç,eşik", "cp1254"),
        ("příliš,žluťoučký", "cp1250"),
    ],
)
def test_an_encoding_that_cannot_be_told_is_an_error(text: str, encoding: str) -> None:
    """No mojibake: the line is named, and what to give."""
    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        find_encoding(b"head\n" + text.encode(encoding))


def test_a_guess_is_a_doubt_that_shows_what_was_read() -> None:
    """The reader sees at once whether it is right."""
    assert '"café"' in find_encoding("un café".encode("cp1252")).doubt


@pytest.mark.parametrize("data", [b"\xb3", "é".encode(), "€".encode()])
def test_a_wrong_guess_is_an_error_with_the_line(data: bytes) -> None:
    """Bytes that Western text does not have refute the guess, and so does UTF-8."""
    encoding = find_encoding("café\n".encode("cp1252"))
    with pytest.raises(InputError, match=f"line 3 has the bytes {data.hex(' ')}"):
        list(transcoded([b"x\ny\n", data + b"\n"], encoding))


def test_an_order_of_bytes_is_found_without_a_mark() -> None:
    """Parts of the file are written without one too."""
    for name in ("utf-16-le", "utf-16-be"):
        assert find_encoding("id,name\n".encode(name), "utf-16").name == name


def test_what_the_server_cannot_read_becomes_utf8() -> None:
    """Chunks may end in the middle of a character."""
    data = "a,é\n".encode("utf-16-le")
    encoding = find_encoding(codecs.BOM_UTF16_LE + data)
    assert b"".join(transcoded([data[:3], data[3:]], encoding)) == "a,é\n".encode()


def test_broken_utf16_names_its_line() -> None:
    """A lone surrogate on line 2."""
    encoding = find_encoding(b"a\0", "utf-16-le")
    with pytest.raises(InputError, match="line 2 is not utf-16-le"):
        list(transcoded(["a\n".encode("utf-16-le"), b"\x00\xd8a\x00"], encoding))


def test_a_sample_may_end_within_a_character() -> None:
    """The whole file may not."""
    cut = "aé".encode()[:-1]
    assert find_encoding(cut, whole=False).name == "utf-8"
    assert find_encoding(cut).name == "cp1252"


@pytest.mark.parametrize("name", ["klingon", "undefined", "idna", "unicode_escape"])
def test_what_no_file_is_written_in_is_refused(name: str) -> None:
    """Python has codecs for other things too."""
    with pytest.raises(UsageError, match=name):
        find_encoding(b"a", name)

"""The files that benchmarks/tables.py moves: 8 mixed columns, the same every time."""

from __future__ import annotations

import gzip
import random
import shutil
import uuid
from pathlib import Path

import zstandard

DDL = "(id int, big bigint, txt text, amount numeric, ts timestamptz, flag bool, uid uuid, opt int)"
WORDS = ("alpha", "beta, gamma", 'say ""q""', "line\nbreak", "kůň", "plain text for a while", "x")
COLUMNS = ("id", "big", "txt", "amount", "ts", "flag", "uid", "opt")
HEADER = ",".join(COLUMNS) + "\n"


def make_file(path: Path, rows: int, bad: int = 0) -> Path:
    """Write a file with some bad values spread evenly."""
    chance = random.Random(7)
    step = rows // bad if bad else rows + 1
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(HEADER)
        for n in range(rows):
            text = " ".join(chance.choices(WORDS, (8, 2, 2, 0.3, 2, 6, 4), k=3))
            amount = "bad" if n % step == step - 1 else chance.randrange(10**8) / 100
            moment = f"2026-0{chance.randrange(1, 9)}-11 12:00:33.{chance.randrange(10**6):06d}+00"
            key, opt = uuid.UUID(int=chance.getrandbits(128)), "" if n % 3 else n
            out.write(f'{n},{chance.getrandbits(50)},"{text}",{amount},{moment},t,{key},{opt}\n')
    return path


def compress(path: Path) -> tuple[Path, Path]:
    """Write the file as .gz and as .zst beside it, as gzip and zstd do by default."""
    gz, zst = Path(f"{path}.gz"), Path(f"{path}.zst")
    with path.open("rb") as plain, gzip.open(gz, "wb", 6) as archive:
        shutil.copyfileobj(plain, archive)
    with path.open("rb") as plain, zst.open("wb") as target:
        zstandard.ZstdCompressor(3).copy_stream(plain, target)
    return gz, zst


def repeat(source: Path, target: Path, size: int) -> Path:
    """Write the rows of a file again and again, until they are ``size`` bytes or a bit more."""
    with target.open("wb") as out, source.open("rb") as rows:
        out.write(rows.readline())
        body = rows.tell()
        while out.tell() < size:
            rows.seek(body)
            shutil.copyfileobj(rows, out, 2**20)
    return target


def spoil(source: Path, target: Path) -> Path:
    """Write a file again with a bad value near its start."""
    with target.open("wb") as out, source.open("rb") as rows:
        out.write(rows.readline())
        out.write(f"bad{',' * HEADER.count(',')}\n".encode())
        shutil.copyfileobj(rows, out, 2**20)
    return target

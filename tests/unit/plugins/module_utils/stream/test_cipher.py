# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import ConfigError, CryptoError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.cipher import Cipher
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.through import CHUNK, Chunk
from tests.unit.strategies import contents

PASS = "correct horse battery"
SALT = "0102030405060708"
VECTORS = [  # plain, raw, stored: of the format's specification
    (b"15\n", False, f"53616c7465645f5f{SALT}f39ad76d43d8951d355268a8779eca27"),
    (b"15\n", True, f"{SALT}f39ad76d43d8951d355268a8779eca27"),
    (b"", False, f"53616c7465645f5f{SALT}702de37cecc8f85874c04fba16665e96"),
]


def join(chunks: Iterable[Chunk]) -> bytes:
    whole = bytearray()
    for chunk in chunks:
        whole += chunk
    return bytes(whole)


def cut(data: bytes, size: int) -> Iterator[memoryview]:
    buffer = bytearray(size)
    for start in range(0, len(data), size):
        part = data[start : start + size]
        buffer[: len(part)] = part
        yield memoryview(buffer)[: len(part)]


@pytest.mark.parametrize(("plain", "raw", "stored"), VECTORS)
def test_vectors(plain: bytes, raw: bool, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cipher = Cipher(PASS, raw)
    assert cipher.decrypt_one(bytes.fromhex(stored)) == plain
    assert join(cipher.decrypt(cut(bytes.fromhex(stored), 1))) == plain
    monkeypatch.setattr(os, "urandom", lambda size: bytes.fromhex(SALT)[:size])
    assert cipher.encrypt_one(plain).hex() == stored
    assert join(cipher.encrypt([plain])).hex() == join(cipher.encrypt(cut(plain, 1))).hex() == stored


def test_the_sample_of_a_real_repository() -> None:
    """The first bytes of an encrypted archive.info, and the key and vector that its salt leads to."""
    key = Cipher("pass-seven")._with_key(bytes.fromhex("99d27e16536447dd"))
    assert key.algorithm.key.hex() == "0d1f682033a5f097f1abe9444c1c2f5655e0d7be337c2edc0d3c88156bcb24b6"
    assert key.mode.initialization_vector.hex() == "740f712ef93c4c50ad3aed941f24ce78"


@settings(max_examples=60)
@given(contents(), st.booleans(), st.integers(1, 70_000), st.integers(1, 70_000))
def test_round_trip(data: bytes, raw: bool, size: int, other: int) -> None:
    cipher = Cipher("pässword", raw)
    stored = join(cipher.encrypt(cut(data, size)))
    overhead = len(stored) - len(data)
    assert (9 <= overhead <= 24) if raw else (17 <= overhead <= 32)
    assert join(cipher.decrypt(cut(stored, other))) == cipher.decrypt_one(stored) == data
    assert join(cipher.decrypt(cut(cipher.encrypt_one(data), other))) == data


@pytest.mark.parametrize("size", [*range(70), CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_sizes_in_small_and_large_pieces(size: int) -> None:
    data, cipher = os.urandom(size), Cipher(PASS)
    for step in (1, 7, 15, 16, 17, 33) if size < 100 else (CHUNK, CHUNK - 5):
        stored = join(cipher.encrypt(cut(data, step)))
        assert join(cipher.decrypt(cut(stored, step))) == data
        assert cipher.decrypt_one(stored) == data


def test_every_object_has_its_own_salt() -> None:
    cipher = Cipher(PASS)
    assert len({cipher.encrypt_one(b"same")[8:16] for _other in range(20)}) == 20
    assert join(cipher.encrypt([b"same"])) != join(cipher.encrypt([b"same"]))


def test_chunks_keep_their_size() -> None:
    cipher = Cipher(PASS)
    stored = [len(chunk) for chunk in cipher.encrypt([bytes(CHUNK)] * 3)]
    assert stored == [CHUNK + 16, CHUNK, CHUNK, 16]
    plain = [len(chunk) for chunk in cipher.decrypt(cut(join(cipher.encrypt([bytes(CHUNK)] * 3)), CHUNK))]
    assert plain[1:3] == [CHUNK, CHUNK] and len(plain) <= 5


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize("size", [0, 1, 16, 100_000])
def test_openssl_agrees(size: int) -> None:
    data = os.urandom(size)
    program = ["openssl", "enc", "-aes-256-cbc", "-md", "sha1", "-pass", "env:HOLDFAST_TEST_PASS"]
    environ = {**os.environ, "HOLDFAST_TEST_PASS": PASS}

    def run(way: str, data: bytes) -> bytes:
        return subprocess.run([*program, way], input=data, env=environ, capture_output=True, check=True).stdout

    assert run("-d", join(Cipher(PASS).encrypt(cut(data, 999)))) == data
    assert Cipher(PASS).decrypt_one(run("-e", data)) == data


# -- what cannot be decrypted


@pytest.mark.parametrize("raw", [False, True])
def test_a_wrong_passphrase_is_an_error_without_data(raw: bool) -> None:
    """By its padding; one in 256 wrong keys gives right padding, so this takes objects for which it does not."""
    failed = 0
    for _other in range(20):
        stored = Cipher(PASS, raw).encrypt_one(b"secret document")
        for decrypt in (Cipher("wrong", raw).decrypt_one, lambda data: join(Cipher("wrong", raw).decrypt([data]))):
            try:
                assert decrypt(stored) != b"secret document"
            except CryptoError as error:
                assert "repo-cipher-pass" in error.hint
                failed += 1
    assert failed > 30


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 40])
def test_truncated_is_an_error(raw: bool, size: int) -> None:
    cipher = Cipher(PASS, raw)
    stored = cipher.encrypt_one(bytes(range(65, 65 + size)))  # no byte that could be padding
    for length in range(len(stored)):
        for step in (1, 5, 1000):
            with pytest.raises(CryptoError):
                join(cipher.decrypt(cut(stored[:length], step)))
        with pytest.raises(CryptoError):
            cipher.decrypt_one(stored[:length])


def test_what_is_not_encrypted_is_told() -> None:
    for use in (Cipher(PASS).decrypt_one, lambda data: join(Cipher(PASS).decrypt([data]))):
        with pytest.raises(CryptoError, match="not encrypted") as caught:
            use(b"[backrest]\nbackrest-checksum=...\n")
        assert "repo-cipher-type" in caught.value.hint


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_data_or_an_error(data: bytes, raw: bool) -> None:
    try:
        join(Cipher(PASS, raw).decrypt(cut(data, 10)))
    except CryptoError:
        pass


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in list(sys.modules):
        if module.split(".")[0] == "cryptography":
            monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match="repo-cipher-type.*cryptography"):
        Cipher(PASS)

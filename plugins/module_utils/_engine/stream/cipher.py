# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository's encryption: AES-256-CBC as `openssl enc -md sha1` writes it.

There is no authentication: a wrong passphrase shows as bad padding at the end, or as nonsense that a checksum finds.
Every object has its own random salt. raw: without the eight bytes that name the format.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import ConfigError, CryptoError
from .through import Chunk

_MAGIC = b"Salted__"
_SALT = 8  # bytes
_BLOCK = 16  # bytes
_KEY = 32  # bytes


class Cipher:
    """Encrypts and decrypts streams, and small objects in one call.

    CryptoError for what cannot be decrypted. A stream may have delivered most of its data by then: who needs to know
    first uses decrypt_one().
    """

    def __init__(self, passphrase: str, raw: bool = False) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
            from cryptography.hazmat.primitives.ciphers import algorithms, modes
        except ImportError as error:
            raise ConfigError(
                "repo-cipher-type=aes-256-cbc needs the Python library 'cryptography', which is not installed",
                "install cryptography",
            ) from error
        self._passphrase = passphrase.encode()
        self._magic = b"" if raw else _MAGIC
        self._block_cipher, self._aes, self._cbc = BlockCipher, algorithms.AES, modes.CBC

    def encrypt(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """A filter. Its chunks are as long as those that come in, so that no small write follows a large one."""
        head, encryptor = self._begin()
        size, view = 0, memoryview(b"")
        for chunk in chunks:
            if len(view) < len(head) + len(chunk) + _BLOCK:
                view = memoryview(bytearray(len(head) + len(chunk) + _BLOCK))
            view[: len(head)] = head
            done = len(head) + encryptor.update_into(chunk, view[len(head) :])
            head = b""
            size += len(chunk)
            if done:
                yield view[:done]
        yield head + encryptor.update(_padding(size)) + encryptor.finalize()

    def decrypt(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """A filter. The last block, which says where the data ends, is held back until there is no more."""
        head, held, decryptor = bytearray(), b"", None
        view = memoryview(b"")
        for chunk in chunks:
            rest = memoryview(chunk)
            if decryptor is None:
                missing = len(self._magic) + _SALT - len(head)
                head += rest[:missing]
                rest = rest[missing:]
                if len(head) < len(self._magic) + _SALT:
                    continue
                decryptor = self._resume(head)
            if len(rest) < _BLOCK:
                rest = memoryview(held + rest)
                held = b""
            if len(view) < len(rest) + 2 * _BLOCK:
                view = memoryview(bytearray(len(rest) + 2 * _BLOCK))
            done = decryptor.update_into(held, view)
            done += decryptor.update_into(rest[:-_BLOCK], view[done:])
            held = bytes(rest[-_BLOCK:])
            if done:
                yield view[:done]
        if decryptor is None:
            raise CryptoError("encrypted data ends early")
        yield self._finish(decryptor, held)

    def encrypt_one(self, data: Chunk) -> bytes:
        head, encryptor = self._begin()
        return b"".join((head, encryptor.update(data), encryptor.update(_padding(len(data))), encryptor.finalize()))

    def decrypt_one(self, data: Chunk) -> bytes:
        start = len(self._magic) + _SALT
        if len(data) < start:
            raise CryptoError("encrypted data ends early")
        decryptor = self._resume(data[:start])
        return self._finish(decryptor, data[start:])

    def _begin(self) -> tuple[bytes, Any]:
        salt = os.urandom(_SALT)
        return self._magic + salt, self._with_key(salt).encryptor()

    def _resume(self, head: Chunk) -> Any:
        if bytes(head[: len(self._magic)]) != self._magic:
            raise CryptoError("data is not encrypted", "is repo-cipher-type right for this repository?")
        return self._with_key(bytes(head[len(self._magic) :])).decryptor()

    def _with_key(self, salt: bytes) -> Any:
        """EVP_BytesToKey of OpenSSL, with SHA-1 and one iteration."""
        digest = material = b""
        while len(material) < _KEY + _BLOCK:
            digest = hashlib.sha1(digest + self._passphrase + salt, usedforsecurity=False).digest()
            material += digest
        return self._block_cipher(self._aes(material[:_KEY]), self._cbc(material[_KEY : _KEY + _BLOCK]))

    def _finish(self, decryptor: Any, data: Chunk) -> bytes:
        """Decrypt what ends the data, and take the padding off."""
        try:
            plain: bytes = decryptor.update(data) + decryptor.finalize()
        except ValueError as error:
            raise CryptoError("encrypted data ends early") from error
        padding = plain[-1] if plain else 0
        if not 1 <= padding <= _BLOCK or plain[-padding:] != bytes([padding]) * padding:
            raise CryptoError("data cannot be decrypted", "is repo-cipher-pass right for this repository?")
        return plain[:-padding]


def _padding(size: int) -> bytes:
    """PKCS#7: always there, so that its last byte can tell its length."""
    length = _BLOCK - size % _BLOCK
    return bytes([length]) * length

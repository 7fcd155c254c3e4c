"""Reads an encrypted store as docs/encrypted-stores.md describes it, with another library.

read-encrypted.py KEY STORE INDEX >PLAIN    decrypts the index, finds and decrypts its chunks (gzip or none)
"""

import hashlib
import hmac
import struct
import sys
import zlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def subkey(secret, purpose, length=32):
    info = b"imgtool store 1 " + purpose
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(secret)


def prf(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def read_key(path):
    lines = open(path).read().splitlines()
    assert lines[0] == "imgtool store key 1"
    values = dict(line.split(": ") for line in lines[1:] if not line.startswith("#"))
    secret = bytes.fromhex(values["secret"])
    assert subkey(secret, b"key id", 16).hex() == values["id"]
    return secret


def unseal(secret, magic, keys, name, data):
    header, sealed = data[:72], data[72:]
    found, version, key_id, stored, nonce, length = struct.unpack("<7sB16s32s12sI", header)
    assert (found, version, stored) == (magic, 1, name)
    assert key_id == subkey(secret, b"key id", 16)
    assert len(sealed) == length + 16
    inner = AESGCM(prf(subkey(secret, keys), name)).decrypt(nonce, sealed, header)
    kind, size = struct.unpack("<BI", inner[:5])
    content, padding = inner[5 : 5 + size], inner[5 + size :]
    assert len(content) == size and not any(padding)
    zeroed = header[:56] + bytes(12) + header[68:]
    assert nonce == prf(subkey(secret, b"nonces"), zeroed, inner[:5], content)[:12]
    return kind, content


secret = read_key(sys.argv[1])
_, index = unseal(secret, b"ITindex", b"indexes", bytes(32), open(sys.argv[3], "rb").read())
# casync's index: a head of 48 bytes, the table's head of 16, then entries (end u64, id), then 40 bytes
entries = index[64:-40]
start = 0
for at in range(0, len(entries), 40):
    (end,), digest = struct.unpack("<Q", entries[at : at + 8]), entries[at + 8 : at + 40]
    name = prf(subkey(secret, b"names"), digest)
    path = f"{sys.argv[2]}/{name.hex()[:4]}/{name.hex()}.cacnk"
    kind, content = unseal(secret, b"ITchunk", b"chunks", name, open(path, "rb").read())
    plain = zlib.decompress(content, 31) if kind == 1 else content
    assert len(plain) == end - start and hashlib.new("sha512_256", plain).digest() == digest
    sys.stdout.buffer.write(plain)
    start = end

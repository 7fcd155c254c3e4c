/** Encrypted stores: keys and their files, and what a store may do to chunks. */
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fromHex } from "@imgtool/core";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { chunkPath } from "../chunk-path.ts";
import { compressChunk } from "../codecs.ts";
import { chunkName } from "../digest.ts";
import { openLocalStore } from "../local.ts";
import { readChunk } from "../read-chunk.ts";
import { maxSealedBytes, StoreCipher } from "./cipher.ts";
import { encryptStore } from "./encrypted-store.ts";
import { formatStoreKey, generateStoreKey, parseStoreKey, readStoreKey, type StoreKey } from "./key.ts";
import { paddedLength } from "./padding.ts";

const key = generateStoreKey();
const cipher = new StoreCipher(key);
const plain = Buffer.concat([randomBytes(20_000, "encrypted"), Buffer.alloc(20_000, "compresses ")]);
const [name, size] = [chunkName(plain), plain.length];
const stored = cipher.storedName(name);

function failureOf(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

test("a key's file is read back; one that is not whole, or open to all, is refused", () => {
  using folder = temporaryFolder();
  const path = folder.join("key");
  writeFileSync(path, formatStoreKey(key), { mode: 0o600 });
  expect(readStoreKey(path)).toEqual({ ...key, secret: new Uint8Array(key.secret) });
  chmodSync(path, 0o604);
  expect(() => readStoreKey(path)).toThrow(expect.objectContaining({ code: "secret-open", exitCode: 2 }));
  expect(() => readStoreKey(folder.join("none"))).toThrow(expect.objectContaining({ code: "store-key-missing" }));
  expect(() => readStoreKey(folder.path)).toThrow(/mode|a file of a few lines/);
  const text = formatStoreKey(key);
  const secret = Buffer.from(key.secret).toString("hex");
  for (const wrong of [
    "",
    text.slice(0, -10),
    text.replace("key 1", "key 2"),
    text.replace("padding: buckets", "padding: some"),
    text.replace(secret.slice(0, 4), secret.startsWith("0") ? "1111" : "0000"),
    text.replace(secret, secret.toUpperCase().replace(/\d/g, "A")),
    text.replace("id: ", "id: 0"),
    `${text}id: ${key.id}\n`,
    `${text}more: 1\n`,
  ]) {
    const failure = failureOf(() => parseStoreKey(wrong, "a key"));
    expect(failure).toMatchObject({ code: "store-key-invalid", exitCode: 3 });
    expect(String(failure)).toContain("a key");
    expect(String(failure)).not.toContain(secret.slice(8, 24));
  }
});

test("keys with the same secret have the same id and names, others have others", () => {
  const other = generateStoreKey("none");
  expect(other.id).not.toBe(key.id);
  expect(new StoreCipher(other).storedName(name)).not.toBe(stored);
  expect(new StoreCipher({ ...key, padding: "none" }).storedName(name)).toBe(stored);
  expect(stored).toMatch(/^[0-9a-f]{64}$/);
  expect(stored).not.toBe(name);
});

test("two writers of one chunk make the same bytes; another compression has another nonce", () => {
  const chunk = compressChunk(plain);
  const sealed = cipher.sealChunk(stored, chunk);
  expect(Buffer.compare(new StoreCipher(key).sealChunk(stored, chunk), sealed)).toBe(0);
  const nonces = [
    sealed,
    cipher.sealChunk(stored, compressChunk(plain, "zstd", 19)),
    cipher.sealChunk(stored, compressChunk(plain, "none")),
    cipher.sealChunk(stored, { bytes: compressChunk(plain, "none").bytes, compressed: true }),
    cipher.sealChunk(cipher.storedName(stored), chunk),
    cipher.sealIndex(chunk.bytes),
  ].map((bytes) => Buffer.from(bytes).toString("hex", 56, 68));
  expect(new Set(nonces).size).toBe(nonces.length);
});

test("what was encrypted is decrypted, of any length and padding, within the limit", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 3000 }),
      fc.boolean(),
      fc.constantFrom("none" as const, "buckets" as const),
      (bytes, compressed, padding) => {
        const one = new StoreCipher({ ...key, padding });
        const sealed = one.sealChunk(stored, { bytes, compressed });
        expect(sealed.length).toBe(one.sealedBytes(bytes.length));
        expect(sealed.length).toBeLessThanOrEqual(maxSealedBytes(bytes.length));
        const opened = cipher.openChunk(stored, sealed, place);
        expect(opened.compressed).toBe(compressed);
        expect(Buffer.compare(opened.bytes, bytes)).toBe(0);
      },
    ),
  );
});

test("lengths become few, and never much longer", () => {
  let lengths = 0;
  let last = 0;
  for (let length = 1; length <= 300_000; length++) {
    const padded = paddedLength(length, "buckets");
    if (padded !== last) lengths++;
    if (padded < last || padded < length || (length > 256 && padded > length * (length < 65_536 ? 1.063 : 1.032)))
      throw new Error(`${length} becomes ${padded}`);
    last = padded;
  }
  expect(lengths).toBeLessThan(200);
  expect(paddedLength(12_345, "none")).toBe(12_345);
  expect(paddedLength(65_537, "buckets")).toBe(65_536 + 2048);
});

const place = { what: "the chunk", data: { chunk: name } };

/** Opens what a store has made of an encrypted chunk. */
async function tamper(
  change: (file: Buffer, root: string) => Uint8Array | undefined,
  readWith: StoreKey = key,
): Promise<unknown> {
  using folder = temporaryFolder();
  const store = encryptStore(await openLocalStore(folder.path), key);
  await store.put(name, compressChunk(plain));
  const path = join(folder.path, chunkPath(stored));
  const changed = change(readFileSync(path), folder.path);
  rmSync(path, { force: true });
  if (changed !== undefined) writeFileSync(path, changed);
  const reader = encryptStore(await openLocalStore(folder.path), readWith);
  const failure: unknown = await readChunk([reader], name, size).catch((error: unknown) => error);
  // Whatever is wrong there: another store that has the chunk is asked.
  using whole = temporaryFolder();
  const second = encryptStore(await openLocalStore(whole.path), readWith);
  await second.put(name, compressChunk(plain));
  expect(Buffer.compare(await readChunk([reader, second], name, size), plain)).toBe(0);
  return failure;
}

test("every byte of an encrypted chunk is protected", () => {
  const sealed = cipher.sealChunk(stored, compressChunk(new Uint8Array(100)));
  for (let at = 0; at < sealed.length; at++) {
    const altered = new Uint8Array(sealed);
    altered[at] = (altered[at] ?? 0) ^ 0x10;
    expect(() => cipher.openChunk(stored, altered, place)).toThrow(
      expect.objectContaining({ exitCode: 3, hint: expect.stringMatching(/./) as unknown }),
    );
  }
  for (let length = 0; length < sealed.length; length++) {
    expect(() => cipher.openChunk(stored, sealed.subarray(0, length), place)).toThrow(
      expect.objectContaining({ code: "chunk-truncated" }),
    );
  }
});

test("what is altered, cut off, too long, swapped, not encrypted or of another key has its own error", async () => {
  expect(
    await tamper((file) => {
      file[5000] = (file[5000] ?? 0) ^ 1;
      return file;
    }),
  ).toMatchObject({ code: "chunk-not-authentic", exitCode: 3, data: { chunk: name, stored } });
  expect(await tamper((file) => file.subarray(0, -1))).toMatchObject({ code: "chunk-truncated" });
  expect(await tamper((file) => Buffer.concat([file, Buffer.alloc(1)]))).toMatchObject({ code: "chunk-too-long" });
  const other = cipher.storedName(chunkName(Buffer.from("other")));
  expect(await tamper(() => cipher.sealChunk(other, compressChunk(Buffer.from("other"))))).toMatchObject({
    code: "chunk-swapped",
    data: { expected: stored, found: other },
  });
  // The name in the header made right again: then the tag is wrong.
  expect(
    await tamper(() => {
      const sealed = Buffer.from(cipher.sealChunk(other, compressChunk(Buffer.from("other"))));
      sealed.set(fromHex(stored), 24);
      return sealed;
    }),
  ).toMatchObject({ code: "chunk-not-authentic" });
  expect(await tamper(() => compressChunk(plain).bytes)).toMatchObject({ code: "chunk-not-encrypted", exitCode: 3 });
  expect(
    await tamper((_, root) => {
      const path = join(root, chunkPath(stored, false));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, plain);
      return undefined;
    }),
  ).toMatchObject({ code: "chunk-not-encrypted" });
  expect(
    await tamper((file) => {
      file[7] = 2;
      return file;
    }),
  ).toMatchObject({ code: "encryption-version-unknown" });
  const wrong = generateStoreKey();
  expect(await tamper((file) => file, wrong)).toMatchObject({ code: "chunk-missing" });
  const wrongName = new StoreCipher(wrong).storedName(name);
  expect(
    await tamper((file, root) => {
      const path = join(root, chunkPath(wrongName));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, file);
      return file;
    }, wrong),
  ).toMatchObject({ code: "store-key-wrong", data: { expected: wrong.id, found: key.id } });
});

test("bytes that the key's owner encrypted under a wrong name are still no chunk", async () => {
  expect(await tamper(() => cipher.sealChunk(stored, compressChunk(randomBytes(size, "lie"))))).toMatchObject({
    code: "chunk-altered",
  });
});

test("a store that was encrypted tells nothing of names or content", async () => {
  using folder = temporaryFolder();
  const store = encryptStore(await openLocalStore(folder.path), key);
  const text = Buffer.from("a text that can be found again ".repeat(40));
  expect(await store.put(chunkName(text), compressChunk(text, "none"))).toBe(true);
  using copy = temporaryFolder();
  cpSync(folder.path, copy.path, { recursive: true });
  const plainStore = await openLocalStore(copy.path);
  expect(await plainStore.has(chunkName(text))).toBe(false);
  const found = await plainStore.get(cipher.storedName(chunkName(text)));
  expect(Buffer.from(found?.bytes ?? []).includes("found again")).toBe(false);
  expect(Buffer.from(found?.bytes ?? []).toString("hex")).not.toContain(chunkName(text));
});

test("an encrypted index is refused with a wrong key, altered, or in the clear", () => {
  const index = Buffer.from("the bytes of an index");
  const sealed = Buffer.from(cipher.sealIndex(index));
  const where = { what: "the index x.caibx", data: { index: "x.caibx" } };
  expect(Buffer.from(cipher.openIndex(sealed, where))).toEqual(index);
  const refusal = (bytes: Uint8Array, one = cipher): unknown => failureOf(() => one.openIndex(bytes, where));
  expect(refusal(sealed, new StoreCipher(generateStoreKey()))).toMatchObject({ code: "store-key-wrong" });
  expect(refusal(index)).toMatchObject({ code: "index-not-encrypted" });
  expect(refusal(sealed.subarray(0, 80))).toMatchObject({ code: "index-truncated" });
  expect(refusal(cipher.sealChunk(stored, { bytes: index, compressed: false }))).toMatchObject({
    code: "index-not-encrypted",
  });
  sealed[90] = (sealed[90] ?? 0) ^ 1;
  expect(refusal(sealed)).toMatchObject({
    code: "index-not-authentic",
    message: expect.stringContaining("x.caibx") as string,
  });
});

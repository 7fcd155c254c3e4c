import { createDecipheriv, createHash } from "node:crypto";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { silentProgress } from "@imgtool/core";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { assert, constantFrom, integer, nat, property } from "fast-check";
import { expect, test } from "vitest";
import { mergeKey, splitKey } from "./anti-forensic.ts";
import { encryptFile, formatLuks, readPassphrase, type LuksKdf, type LuksOptions, type LuksVolume } from "./index.ts";
import { XtsEncryptor } from "./xts.ts";

const fast: LuksKdf = { type: "argon2id", time: 4, memory: 64, cpus: 1 };
const uuid = "ae8dd8bc-7934-4d1b-864d-8306ef516f03";

async function make(options: Partial<LuksOptions> = {}): Promise<LuksVolume> {
  return await formatLuks({ uuid, passphrase: Buffer.from("secret"), kdf: fast, ...options });
}

function digestOf({ header, volumeKey }: LuksVolume): string {
  const hash = createHash("sha256").update(volumeKey);
  for (const { bytes } of header) hash.update(bytes);
  return hash.digest("hex");
}

test("XTS is that of OpenSSL, sector by sector", () => {
  const key = randomBytes(64, "key");
  assert(
    property(constantFrom(512, 1024, 2048, 4096), nat(20), integer({ min: 0, max: 2 ** 40 }), (size, count, first) => {
      const plain = randomBytes(size * count, `${size} ${first}`);
      const encrypted = Uint8Array.from(plain);
      new XtsEncryptor(key, size).encrypt(encrypted, first);
      for (let index = 0; index < count; index++) {
        const tweak = Buffer.alloc(16);
        // plain64 counts in units of 512 bytes, whatever the sector size
        tweak.writeBigUInt64LE(BigInt(first + index) * BigInt(size / 512));
        const decipher = createDecipheriv("aes-256-xts", key, tweak);
        const sector = decipher.update(encrypted.subarray(index * size, (index + 1) * size));
        expect(sector.equals(plain.subarray(index * size, (index + 1) * size))).toBe(true);
      }
    }),
    { numRuns: 30 },
  );
});

test("a split key comes back, and not when one bit of one stripe is another", () => {
  assert(
    property(integer({ min: 1, max: 70 }), integer({ min: 1, max: 20 }), nat(), (length, stripes, at) => {
      const key = randomBytes(length, "key");
      const split = splitKey(key, randomBytes(length * stripes, "stripes"));
      expect(mergeKey(split, length)).toEqual(key);
      split[at % split.length] = (split[at % split.length] ?? 0) ^ 1;
      expect(mergeKey(split, length)).not.toEqual(key);
    }),
    { numRuns: 50 },
  );
});

test("derived keys are the same today and in every version to come", async () => {
  expect(digestOf(await make())).toBe("f1fcc83b818257a83019b4df4cde01bcabd199cb832c4cfeaad71c251db308fd");
});

test("derived keys depend on the passphrase, the UUID and the function's cost", async () => {
  const volumes = await Promise.all([
    make(),
    make({ passphrase: Buffer.from("secret\n") }),
    make({ uuid: uuid.replace("a", "b") }),
    make({ kdf: { ...fast, memory: 65 } }),
    make({ kdf: { type: "pbkdf2", iterations: 1000 } }),
  ]);
  const keys = volumes.map(({ volumeKey }) => Buffer.from(volumeKey).toString("hex"));
  expect(new Set(keys).size).toBe(keys.length);
  // Neither the label nor the size of sectors is a secret's.
  expect((await make({ label: "other", sectorSize: 512 })).volumeKey).toEqual(volumes[0]?.volumeKey);
});

test("random keys are others each time", async () => {
  const [one, other] = await Promise.all([make({ keys: "random" }), make({ keys: "random" })]);
  expect(digestOf(one)).not.toBe(digestOf(other));
  expect(one.volumeKey).not.toEqual(other.volumeKey);
});

test.for([
  ["an empty passphrase", { passphrase: new Uint8Array() }, /a passphrase of 0 bytes/],
  ["a passphrase of 9 MiB", { passphrase: new Uint8Array(9 * 1024 ** 2) }, /expected 1 to 8388608/],
  ["a label of 48 bytes", { label: "é".repeat(24) }, /at most 47 fit/],
  ["a sector of 8192 bytes", { sectorSize: 8192 }, /LUKS sectors of 8192 bytes/],
  ["three passes of argon2id", { kdf: { ...fast, time: 3 } }, /time: expected 4 to/],
  ["little memory for argon2id", { kdf: { ...fast, memory: 31 } }, /memory: expected 32 to/],
  ["few iterations of PBKDF2", { kdf: { type: "pbkdf2", iterations: 999 } }, /iterations: expected 1000 to/],
] as const)("%s is refused", async ([, options, message]) => {
  await expect(make(options)).rejects.toThrow(message);
});

test("threads encrypt what one pass encrypts, and nothing else", async () => {
  using folder = temporaryFolder();
  const [size, offset] = [64 * 1024 ** 2 + 4096, 8192];
  const plain = randomBytes(offset + size + 100, "data");
  const volumeKey = randomBytes(64, "key");
  const images = await Promise.all(
    [1, 2].map(async (threads) => {
      const path = folder.join(String(threads));
      writeFileSync(path, plain);
      await encryptFile({ path, offset, size, volumeKey, sectorSize: 4096, threads });
      return readFileSync(path);
    }),
  );
  const expected = Buffer.from(plain);
  new XtsEncryptor(volumeKey, 4096).encrypt(expected.subarray(offset, offset + size), 0);
  expect(images.map((image) => image.equals(expected))).toEqual([true, true]);
});

test("data that ends early, and an interruption", async () => {
  using folder = temporaryFolder();
  const path = folder.join("file");
  const options = { path, offset: 0, volumeKey: new Uint8Array(64), sectorSize: 512 };
  writeFileSync(path, new Uint8Array(1000));
  await expect(encryptFile({ ...options, size: 1024 })).rejects.toMatchObject({ code: "encrypt-data-short" });
  const aborted = encryptFile({ ...options, size: 512, signal: AbortSignal.abort() });
  await expect(aborted).rejects.toMatchObject({ code: "aborted" });
  await expect(encryptFile({ ...options, size: 1000 })).rejects.toThrow(RangeError);
});

test("a passphrase file is all its bytes; one that everybody can read is refused", () => {
  using folder = temporaryFolder();
  const path = folder.join("mkosi.passphrase");
  const read = (content: string, mode = 0o600): string[] => {
    const messages: string[] = [];
    writeFileSync(path, content);
    chmodSync(path, mode);
    const progress = {
      ...silentProgress,
      log: (level: string, text: string) => void messages.push(`${level}: ${text}`),
    };
    return [Buffer.from(readPassphrase(path, progress)).toString("latin1"), ...messages];
  };
  expect(read("secret")).toEqual(["secret"]);
  expect(read("a\nb")).toEqual(["a\nb"]);
  expect(read("secret\n")).toEqual([
    "secret\n",
    `warning: ${path} ends in a line end, which is a part of the passphrase: nobody can type it`,
  ]);
  expect(() => read("secret", 0o604)).toThrow(`${path} holds a secret and is open to everybody (mode 604)`);
  expect(() => read("")).toThrow(`${path}: a passphrase of 0 bytes`);
  expect(() => readPassphrase(folder.join("none"))).toThrow(/cannot read the passphrase/);
});

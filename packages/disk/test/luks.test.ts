/** LUKS2 volumes, judged by cryptsetup, which can do this without device-mapper. */
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { needPrograms, randomBytes, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { encryptFile, formatLuks, luksDataOffset, type LuksKdf, type LuksVolume } from "../src/luks/index.ts";
import { SparseFile } from "../src/sparse-file.ts";
import { decryptLuks } from "./decrypt-luks.ts";

const uuid = "ae8dd8bc-7934-4d1b-864d-8306ef516f03";
const passphrase = Buffer.from("correct horse\0 battery");
const kdfs: readonly (readonly [string, number, "derived" | "random", LuksKdf | undefined, RegExp])[] = [
  [
    "the default function",
    4096,
    "derived",
    undefined,
    /PBKDF: +argon2id\s+Time cost: +4\s+Memory: +65536\s+Threads: +4/,
  ],
  ["little memory", 512, "random", { type: "argon2id", time: 5, memory: 32, cpus: 2 }, /Memory: +32\s+Threads: +2/],
  [
    "PBKDF2",
    2048,
    "derived",
    { type: "pbkdf2", iterations: 2000 },
    /PBKDF: +pbkdf2\s+Hash: +sha256\s+Iterations: +2000/,
  ],
];

/** Writes a volume that holds the bytes. */
async function writeVolume(path: string, volume: LuksVolume, content: Uint8Array): Promise<void> {
  using file = new SparseFile(path);
  for (const { offset, bytes } of volume.header) file.write(offset, bytes);
  file.write(luksDataOffset, content);
  file.close();
  truncateSync(path, luksDataOffset + content.length);
  await encryptFile({ path, offset: luksDataOffset, size: content.length, ...volume });
}

test.for(kdfs)(
  "cryptsetup opens a volume with %s",
  { tags: ["system"] },
  async ([, sectorSize, keys, kdf, dump], context) => {
    needPrograms(context, "cryptsetup");
    using folder = temporaryFolder();
    const [image, key] = [folder.join("image"), folder.join("key")];
    writeFileSync(key, passphrase);
    const content = randomBytes(20 * 4096, "content");
    const options = kdf === undefined ? {} : { kdf };
    const volume = await formatLuks({ uuid, label: "home", passphrase, sectorSize, keys, ...options });
    await writeVolume(image, volume, content);

    const dumped = run("cryptsetup", ["luksDump", image]);
    expect(dumped).toContain(`UUID:          \t${uuid}`);
    expect(dumped).toMatch(/Label: +\thome/);
    expect(dumped).toMatch(new RegExp(`cipher: aes-xts-plain64\\s+sector: ${sectorSize} `));
    expect(dumped).toMatch(dump);
    const open = ["open", "--test-passphrase", "--key-file", key, image];
    run("cryptsetup", open);
    writeFileSync(key, "wrong");
    expect(tryRun("cryptsetup", open).status).toBe(2);
    writeFileSync(key, passphrase);

    const volumeKey = folder.join("volume-key");
    const dumpKey = [
      "luksDump",
      "--batch-mode",
      "--dump-volume-key",
      "--key-file",
      key,
      "--volume-key-file",
      volumeKey,
    ];
    run("cryptsetup", [...dumpKey, image]);
    expect(readFileSync(volumeKey).equals(volume.volumeKey)).toBe(true);
    decryptLuks(image, key);
    expect(readFileSync(image).subarray(0, content.length).equals(content)).toBe(true);
  },
);

test("either copy of the header is enough, and a damaged one is noticed", async (context) => {
  needPrograms(context, "cryptsetup");
  using folder = temporaryFolder();
  const [image, key] = [folder.join("image"), folder.join("key")];
  writeFileSync(key, passphrase);
  const volume = await formatLuks({ uuid, passphrase, kdf: { type: "pbkdf2", iterations: 1000 } });
  await writeVolume(image, volume, randomBytes(4096, "content"));
  const whole = readFileSync(image);
  const verdict = (...damaged: readonly number[]): number => {
    const bytes = Buffer.from(whole);
    for (const at of damaged) bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(image, bytes);
    return tryRun("cryptsetup", ["open", "--test-passphrase", "--key-file", key, image]).status;
  };
  const [first, second, slot] = [4096 + 20, 16384 + 4096 + 20, 32768 + 1000];
  expect(verdict()).toBe(0);
  expect(verdict(first)).toBe(0);
  expect(verdict(second)).toBe(0);
  expect(verdict(first, second)).not.toBe(0);
  expect(verdict(slot)).toBe(2);
});

test("cryptsetup adds a passphrase, and removes ours", async (context) => {
  needPrograms(context, "cryptsetup");
  using folder = temporaryFolder();
  const [image, key, other] = [folder.join("image"), folder.join("key"), folder.join("other")];
  writeFileSync(key, passphrase);
  writeFileSync(other, "another");
  const volume = await formatLuks({ uuid, passphrase, kdf: { type: "pbkdf2", iterations: 1000 } });
  await writeVolume(image, volume, randomBytes(4096, "content"));
  const cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
  run("cryptsetup", ["luksAddKey", "--batch-mode", ...cheap, "--key-file", key, image, other]);
  run("cryptsetup", ["luksKillSlot", "--batch-mode", "--key-file", other, image, "0"]);
  run("cryptsetup", ["open", "--test-passphrase", "--key-file", other, image]);
  expect(tryRun("cryptsetup", ["open", "--test-passphrase", "--key-file", key, image]).status).toBe(2);
});

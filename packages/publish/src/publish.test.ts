import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needPrograms, randomBytes, run, type TemporaryFolder, temporaryFolder } from "@imgtool/testkit";
import { generateStoreKey } from "@imgtool/store";
import { readIndex } from "@imgtool/sync";
import { expect, onTestFinished, test, vi } from "vitest";
import { publish, type PublishOptions } from "./publish.ts";

/** An image of 2 MB, of which a version changes some 100 kB, with a root hash and a tree. */
function version(folder: TemporaryFolder, number: number): PublishOptions {
  const image = randomBytes(2_000_000, "image");
  image.set(randomBytes(100_000, `version ${number}`), 700_000);
  const name = `demo_${number}`;
  const path = (suffix: string): string => folder.join(`${name}${suffix}`);
  writeFileSync(path(".raw"), image);
  writeFileSync(path(".roothash"), `${"0".repeat(63)}${number}\n`);
  mkdirSync(path(""), { recursive: true });
  writeFileSync(join(path(""), "file"), image.subarray(0, 500_000));
  for (const part of [join(path(""), "file"), path("")]) utimesSync(part, 1_700_000_000, 1_700_000_000);
  return {
    family: "demo",
    name,
    version: String(number),
    destination: folder.join("www"),
    durable: false,
    artifacts: [
      { path: path(".raw"), name: `${name}.raw`, kind: "blob" },
      { path: path(".roothash"), name: `${name}.roothash`, kind: "file" },
      { path: path(""), name, kind: "tree" },
    ],
  };
}

/** Every file below a folder with its inode and change time: unchanged means nothing was written. */
function state(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { ino, size, ctimeMs } = statSync(path);
      return `${path} ${ino} ${size} ${ctimeMs}`;
    })
    .sort();
}

test("a version that is encrypted is updated and published again like any other", async () => {
  using folder = temporaryFolder();
  const key = generateStoreKey();
  await publish({ ...version(folder, 1), key });
  const second = await publish({ ...version(folder, 2), key });
  expect(second.artifacts[0]?.update).toMatchObject({ from: "demo_1" });
  expect(second.artifacts[0]?.update?.storedBytes).toBeGreaterThan(100_000);
  expect(second.artifacts[0]?.update?.storedBytes).toBeLessThan(500_000);
  expect((await publish({ ...version(folder, 2), key })).changed).toBe(false);
  const index = folder.join("www", "demo_2.raw.caibx");
  await expect(readIndex(index)).rejects.toMatchObject({ code: "index-encrypted" });
  expect((await readIndex(index, { key })).totalSize).toBe(2_000_000);
});

test("a version is stored, listed, and costs nothing to publish again", async () => {
  using folder = temporaryFolder();
  const first = await publish(version(folder, 1));
  expect(first.changed).toBe(true);
  expect(first.artifacts.map(({ file, kind }) => [file, kind])).toEqual([
    ["demo_1.raw.caibx", "blob"],
    ["demo_1.roothash", "file"],
    ["demo_1.caidx", "tree"],
  ]);
  expect(first.artifacts[0]?.update).toBeUndefined();
  const before = state(folder.join("www"));
  const again = await publish(version(folder, 1));
  expect(again.changed).toBe(false);
  expect(again.artifacts[0]).toMatchObject({ newChunks: 0, newBytes: 0, digest: first.artifacts[0]?.digest });
  expect(state(folder.join("www"))).toEqual(before);
});

test("the update from the version before costs what changed", async () => {
  using folder = temporaryFolder();
  await publish(version(folder, 1));
  const second = await publish(version(folder, 2));
  const image = second.artifacts[0];
  expect(image?.update?.from).toBe("demo_1");
  expect(image?.update?.newChunks).toBe(image?.newChunks);
  expect(image?.update?.storedBytes).toBe(image?.newBytes);
  expect(image?.newBytes).toBeGreaterThan(100_000);
  expect(image?.newBytes).toBeLessThan(600_000);
  // Published again, the cost is still that from version 1, not from itself.
  expect((await publish(version(folder, 2))).artifacts[0]?.update).toEqual(image?.update);
  const list = JSON.parse(readFileSync(folder.join("www/demo.versions.json"), "utf8")) as {
    versions: { name: string }[];
  };
  expect(list.versions.map(({ name }) => name)).toEqual(["demo_1", "demo_2"]);
});

const digest = (...args: readonly string[]): string => run("casync", ["digest", ...args]);

/** An ssh that runs this machine's sftp server, for locations on a host of any name. */
function sftpHere(folder: TemporaryFolder): void {
  const ssh = folder.join("ssh");
  writeFileSync(ssh, "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n", { mode: 0o755 });
  vi.stubEnv("CASYNC_SSH_PATH", ssh);
  onTestFinished(() => void vi.unstubAllEnvs());
}

test("what is published on another machine is what is published here, the list last", async () => {
  using folder = temporaryFolder();
  sftpHere(folder);
  const far = folder.join("far away");
  mkdirSync(far);
  const there = (number: number): PublishOptions => ({
    ...version(folder, number),
    destination: `sftp://host${encodeURI(far)}/`,
  });
  const [here1, far1] = [await publish(version(folder, 1)), await publish(there(1))];
  const [here2, far2] = [await publish(version(folder, 2)), await publish(there(2))];
  expect(far1.artifacts).toEqual(here1.artifacts);
  expect(far2.artifacts).toEqual(here2.artifacts);
  expect(far2.artifacts[0]?.update?.newChunks).toBeGreaterThan(0);
  expect(far2.store).toBe(`sftp://host${encodeURI(far)}/default.castr`);
  const names = readdirSync(folder.join("www"), { recursive: true, encoding: "utf8" });
  expect(new Set(readdirSync(far, { recursive: true, encoding: "utf8" }))).toEqual(new Set(names));
  for (const name of names.filter((name) => !name.startsWith("default.castr")))
    expect(readFileSync(join(far, name)).equals(readFileSync(join(folder.join("www"), name)))).toBe(true);
  const before = state(far);
  const again = await publish(there(2));
  expect(again.changed).toBe(false);
  expect(state(far)).toEqual(before);
  // a small file that is damaged there, and larger than it was
  writeFileSync(join(far, "demo_2.roothash"), "damaged".repeat(100));
  expect((await publish(there(2))).changed).toBe(true);
  expect(readFileSync(join(far, "demo_2.roothash"))).toEqual(readFileSync(folder.join("www/demo_2.roothash")));
});

test("chunks may go to a store elsewhere while the indexes stay here", async () => {
  using folder = temporaryFolder();
  sftpHere(folder);
  const store = `sftp://host${folder.join("s.castr")}`;
  const result = await publish({ ...version(folder, 1), store });
  expect(result.store).toBe(store);
  expect(readdirSync(folder.join("s.castr")).length).toBeGreaterThan(10);
  expect(readdirSync(folder.join("www")).sort()).toEqual([
    "demo.versions.json",
    "demo_1.caidx",
    "demo_1.raw.caibx",
    "demo_1.roothash",
  ]);
});

test("casync extracts what was published", async (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  await publish(version(folder, 1));
  const result = await publish(version(folder, 2));
  run("casync", ["extract", folder.join("www/demo_2.raw.caibx"), folder.join("out.raw")]);
  expect(readFileSync(folder.join("out.raw")).equals(readFileSync(folder.join("demo_2.raw")))).toBe(true);
  run("casync", ["extract", folder.join("www/demo_2.caidx"), folder.join("out")]);
  expect(digest(folder.join("out"))).toBe(digest(folder.join("demo_2")));
  // What the version list says of an index is what casync, too, computes of the file.
  const listed = digest("--what=blob", folder.join("www/demo_2.caidx")).trim();
  expect(listed).toBe(result.artifacts[2]?.digest);
});

test("a missing artifact leaves no version behind, and names lead nowhere else", async () => {
  using folder = temporaryFolder();
  const options = version(folder, 1);
  const missing = {
    ...options,
    artifacts: [...options.artifacts, { path: folder.join("no"), name: "no", kind: "blob" as const }],
  };
  await expect(publish(missing)).rejects.toMatchObject({ exitCode: 4 });
  expect(readdirSync(folder.join("www"))).not.toContain("demo.versions.json");
  expect(readdirSync(folder.join("www")).filter((name) => name.startsWith("."))).toEqual([]);
  await expect(publish({ ...options, family: "../demo" })).rejects.toMatchObject({ code: "name-invalid" });
});

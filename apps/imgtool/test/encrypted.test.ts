// @module-tag system
/** Encrypted stores on the command line; another library reads them as the documentation describes. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chunkPath, readStoreKey, serveDirectory, StoreCipher } from "@imgtool/store";
import { readIndex } from "@imgtool/sync";
import { needPrograms, randomBytes, type TemporaryFolder, temporaryFolder, tryRun } from "@imgtool/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cli, cliAsync, expectError } from "./cli.ts";

let folder: TemporaryFolder;
let cwd: string;

function ok(...args: readonly string[]): string {
  const result = cli(args, { cwd });
  expect([args, result.exitCode, result.stderr]).toEqual([args, 0, result.stderr]);
  return result.stdout;
}

function fileNames(directory: string): string[] {
  return readdirSync(join(cwd, directory), { recursive: true, encoding: "utf8" }).sort();
}

beforeAll(() => {
  folder = temporaryFolder();
  cwd = folder.path;
  const blob = Buffer.concat([randomBytes(300_000, "keyed"), Buffer.alloc(300_000, "zeros "), Buffer.alloc(600_000)]);
  writeFileSync(folder.join("raw"), blob);
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree", "file"), blob.subarray(0, 500_000));
  ok("genkey", "--store=key");
  ok("genkey", "--store=other", "--padding=none");
  ok("make", "--key=key", "--compression=gzip", "image.caibx", "raw");
  ok("make", "--key=key", "--compression=none", "tree.caidx", "tree");
});

afterAll(() => folder[Symbol.dispose]());

test("what was made with a key is read with it, by every verb", () => {
  expect(statSync(folder.join("key")).mode & 0o777).toBe(0o600);
  ok("extract", "--key=key", "image.caibx", "raw.out");
  expect(readFileSync(folder.join("raw.out")).equals(readFileSync(folder.join("raw")))).toBe(true);
  ok("extract", "--key=key", "tree.caidx", "tree.out");
  expect(ok("digest", "--key=key", "tree.caidx")).toBe(ok("digest", "tree"));
  expect(ok("list", "--key=key", "tree.caidx")).toBe(ok("list", "tree"));
  expect(ok("mtree", "--key=key", "tree.caidx")).toBe(ok("mtree", "tree"));
  expect(ok("cat", "--key=key", "--offset=300000", "--length=12", "image.caibx")).toBe("zeros zeros ");
  expect(ok("cat", "--key=key", "--offset=300000", "--length=6", "tree.caidx", "file")).toBe("zeros ");
  expect(ok("info", "--key=key", "image.caibx")).toMatch(/in the store/);
  expect(ok("diff", "--key=key", "image.caibx", "image.caibx")).toMatch(/0 B to fetch/);
  expect(ok("verify", "--key=key", "image.caibx")).toMatch(/no problems/);
  expect(ok("verify", "--key=key", "tree.caidx", "tree.out")).toMatch(/no problems/);
  expect(ok("verify", "--key=key", "default.castr")).toMatch(/no problems/);
  expect(ok("extract", "--key=key", "--seed=image.caibx", "tree.caidx", "seeded")).toMatch(
    /[1-9]\d* chunks from seeds/,
  );
  ok("cache", "--key=key", "--to=copy.castr", "image.caibx", "tree.caidx");
  expect(fileNames("copy.castr")).toEqual(fileNames("default.castr"));
});

test("the same again writes nothing; gc keeps what an index names", () => {
  const before = fileNames("default.castr");
  const index = readFileSync(folder.join("image.caibx"));
  expect(ok("make", "--key=key", "--compression=gzip", "image.caibx", "raw")).toMatch(/ 0 new/);
  expect(readFileSync(folder.join("image.caibx")).equals(index)).toBe(true);
  writeFileSync(folder.join("extra"), randomBytes(100_000, "extra"));
  ok("make", "--key=key", "extra.caibx", "extra");
  expect(fileNames("default.castr").length).toBeGreaterThan(before.length);
  expect(ok("gc", "--key=key", "--grace-period=0", "image.caibx", "tree.caidx")).toMatch(/removed [1-9]/);
  expect(fileNames("default.castr")).toEqual(before);
});

test("without the key, or with a wrong one, nothing is read; every refusal says why", () => {
  expectError(cli(["extract", "image.caibx", "x"], { cwd }), 2, "encrypted", /--key/);
  expectError(cli(["extract", "--key=other", "image.caibx", "x"], { cwd }), 3, "with the key");
  expectError(cli(["extract", "--key=none", "image.caibx", "x"], { cwd }), 4, "none");
  expectError(cli(["verify", "default.castr"], { cwd }), 2, "encrypted");
  expect(cli(["verify", "--key=other", "default.castr"], { cwd })).toMatchObject({ exitCode: 3 });
  expectError(cli(["gc", "--key=other", "image.caibx"], { cwd }), 3, "with the key");
  expectError(cli(["make", "--key=key", "tree.catar", "tree"], { cwd }), 2, "not be encrypted");
  expectError(cli(["make", "--key=key", "host:image.caibx", "raw"], { cwd }), 2, "over ssh");
  expectError(cli(["extract", "--key=key", "--store=host:store", "image.caibx", "x"], { cwd }), 2, "over ssh");
  ok("make", "--store=plain.castr", "plain.caibx", "raw");
  expectError(cli(["extract", "--key=key", "--store=plain.castr", "plain.caibx", "x"], { cwd }), 3, "not encrypted");
  expectError(cli(["genkey", "--store=key"], { cwd }), 5, "key");
  writeFileSync(folder.join("open"), readFileSync(folder.join("key")));
  chmodSync(folder.join("open"), 0o644);
  expectError(cli(["extract", "--key=open", "image.caibx", "x"], { cwd }), 2, "open to everybody");
});

test("a damaged chunk is found and named, whoever reads it", async () => {
  const key = readStoreKey(folder.join("key"));
  const index = await readIndex(folder.join("image.caibx"), { key });
  ok("cache", "--key=key", "--to=damaged.castr", "image.caibx");
  const [name, next] = [index.name(1), index.name(2)];
  const path = (chunk: string): string =>
    folder.join("damaged.castr", chunkPath(new StoreCipher(key).storedName(chunk)));
  const bytes = readFileSync(path(name));
  chmodSync(path(name), 0o644);
  writeFileSync(path(name), readFileSync(path(next)));
  const extract = ["extract", "--key=key", "--store=damaged.castr", "image.caibx", "y"];
  expectError(cli(extract, { cwd }), 3, "another chunk", name);
  bytes[2000] = (bytes[2000] ?? 0) ^ 1;
  writeFileSync(path(name), bytes);
  expectError(cli(extract, { cwd }), 3, "was altered", name);
  expect(cli(["verify", "--key=key", "damaged.castr"], { cwd })).toMatchObject({ exitCode: 3 });
  ok(...extract.slice(0, 3), "--extra-store=default.castr", "image.caibx", "y");
});

test("a server takes encrypted chunks and learns no names", async () => {
  mkdirSync(folder.join("www"));
  await using resources = new AsyncDisposableStack();
  const asked: string[] = [];
  const server = await serveDirectory(folder.join("www"), {
    writable: true,
    onRequest: ({ path }) => void asked.push(path),
  });
  resources.defer(() => server.close());
  const made = await cliAsync(["make", "--key=key", `--store=${server.url}`, "web.caibx", "raw"], { cwd });
  expect(made, made.stderr).toMatchObject({ exitCode: 0 });
  const out = await cliAsync(["extract", "--key=key", `--store=${server.url}`, "web.caibx", "web.out"], { cwd });
  expect(out, out.stderr).toMatchObject({ exitCode: 0 });
  expect(readFileSync(folder.join("web.out")).equals(readFileSync(folder.join("raw")))).toBe(true);
  const index = await readIndex(folder.join("web.caibx"), { key: readStoreKey(folder.join("key")) });
  const requests = asked.join("\n");
  expect(requests).toMatch(/\.cacnk/);
  for (let i = 0; i < index.count; i++) expect(requests).not.toContain(index.name(i));
});

test("another library reads the store as the documentation describes it", (context) => {
  needPrograms(context, "python3");
  if (tryRun("python3", ["-c", "import cryptography"]).status !== 0) context.skip("needs python3-cryptography");
  const script = join(import.meta.dirname, "read-encrypted.py");
  const read = tryRun("python3", [
    script,
    folder.join("key"),
    folder.join("default.castr"),
    folder.join("image.caibx"),
  ]);
  expect(read.stderr).toBe("");
  expect(read.stdout.equals(readFileSync(folder.join("raw")))).toBe(true);
});

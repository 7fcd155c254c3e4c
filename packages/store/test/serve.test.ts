/** serveDirectory() against raw requests, curl and the real casync. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { needPrograms, randomBytes, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { requestNames } from "../src/serve-path.ts";
import {
  chunkName,
  chunkPath,
  compressChunk,
  parseWriters,
  serveDirectory,
  type DirectoryServer,
  type ServedRequest,
} from "../src/index.ts";

const execute = promisify(execFile);
const text = "0123456789";
let folder: TemporaryFolder;
let server: DirectoryServer;
const served: ServedRequest[] = [];

beforeEach(async () => {
  folder = temporaryFolder();
  mkdirSync(folder.join("root/sub dir"), { recursive: true });
  writeFileSync(folder.join("secret"), "secret");
  writeFileSync(folder.join("root/file.txt"), text);
  utimesSync(folder.join("root/file.txt"), 1_600_000_000, 1_600_000_000);
  served.length = 0;
  server = await serveDirectory(folder.join("root"), { onRequest: (request) => served.push(request) });
});

afterEach(async () => {
  await server.close();
  folder[Symbol.dispose]();
});

const get = (path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
  fetch(new URL(path, server.url), { headers, method, redirect: "manual" });

/** Sends a request as it is, which fetch() would tidy up first. */
async function raw(target: string): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  let answer = "";
  for await (const piece of socket) answer += String(piece);
  return answer;
}

test("files are sent with length, validators and type; HEAD sends no body", async () => {
  const answer = await get("file.txt");
  expect([answer.status, await answer.text()]).toEqual([200, text]);
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    "content-length": "10",
    "content-type": "text/plain; charset=utf-8",
    "accept-ranges": "bytes",
    "last-modified": "Sun, 13 Sep 2020 12:26:40 GMT",
  });
  const head = await get("file.txt", {}, "HEAD");
  expect([head.headers.get("content-length"), await head.text()]).toEqual(["10", ""]);
  expect(server.statistics).toEqual({ requests: 2, bytes: 10 });
  expect(served.map(({ method, path, status, bytes }) => [method, path, status, bytes])).toEqual([
    ["GET", "/file.txt", 200, 10],
    ["HEAD", "/file.txt", 200, 0],
  ]);
});

test.each([
  ["bytes=2-4", 206, "234", "bytes 2-4/10"],
  ["bytes=7-", 206, "789", "bytes 7-9/10"],
  ["bytes=-3", 206, "789", "bytes 7-9/10"],
  ["bytes=-99", 206, text, "bytes 0-9/10"],
  ["bytes=8-99", 206, "89", "bytes 8-9/10"],
  ["bytes=10-", 416, "416 Range Not Satisfiable\n", "bytes */10"],
  ["bytes=-0", 416, "416 Range Not Satisfiable\n", "bytes */10"],
  ["bytes=4-2", 200, text, null],
  ["bytes=0-1,4-5", 200, text, null],
  ["lines=1-2", 200, text, null],
])("range %s", async (range, status, body, contentRange) => {
  const answer = await get("file.txt", { range });
  expect([answer.status, await answer.text(), answer.headers.get("content-range")]).toEqual([
    status,
    body,
    contentRange,
  ]);
});

test("conditions: an unchanged file is not sent again, a changed one whole", async () => {
  const etag = (await get("file.txt")).headers.get("etag") ?? "";
  const date = "Sun, 13 Sep 2020 12:26:40 GMT";
  const status = async (headers: Record<string, string>): Promise<number> => (await get("file.txt", headers)).status;
  expect(await status({ "if-none-match": `"x", W/${etag}` })).toBe(304);
  expect(await status({ "if-none-match": '"x"', "if-modified-since": date })).toBe(200);
  expect(await status({ "if-modified-since": date })).toBe(304);
  expect(await status({ "if-modified-since": "Sun, 13 Sep 2020 12:26:39 GMT" })).toBe(200);
  expect(await status({ "if-range": etag, range: "bytes=1-2" })).toBe(206);
  expect(await status({ "if-range": '"x"', range: "bytes=1-2" })).toBe(200);
  writeFileSync(folder.join("root/file.txt"), "abcdefghij");
  expect(await status({ "if-none-match": etag })).toBe(200);
});

test.each([
  "/../secret",
  "/%2e%2e/secret",
  "/%2E%2E%2Fsecret",
  "/sub%20dir/../../secret",
  "/sub%20dir/..%2f..%2fsecret",
  "/..%5csecret",
  "/link-out",
  "/link-out-folder/secret",
  "/%00",
  "/file.txt%00",
  "/%",
  "/.hidden",
  "/file.txt/",
  "/fifo",
  `/${"a".repeat(5000)}`,
])("%s leads nowhere", async (target) => {
  symlinkSync(folder.join("secret"), folder.join("root/link-out"));
  symlinkSync(folder.path, folder.join("root/link-out-folder"));
  writeFileSync(folder.join("root/.hidden"), "secret");
  run("mkfifo", [folder.join("root/fifo")]);
  const answer = await raw(target);
  expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  expect(answer).not.toContain("secret");
});

test("targets are taken apart", () => {
  expect(requestNames("/a%20b/c?x=../y")).toEqual(["a b", "c"]);
  expect(requestNames("http://host:1/a//b/")).toEqual(["a", "b"]);
  for (const wrong of ["", "*", "a", "host:80", "/a/%c0%ae"]) expect(requestNames(wrong)).toBeUndefined();
});

test("a link that stays within the directory is followed", async () => {
  symlinkSync("file.txt", folder.join("root/link"));
  expect(await (await get("link")).text()).toBe(text);
});

test("folders are listed, with escaped names, and without a slash redirected", async () => {
  writeFileSync(folder.join("root/sub dir", '<b>&"?#.txt'), "");
  const redirect = await get("sub%20dir");
  expect([redirect.status, redirect.headers.get("location")]).toEqual([301, "/sub%20dir/"]);
  const page = await (await get("sub%20dir/")).text();
  expect(page).toContain('<a href="%3Cb%3E%26%22%3F%23.txt">&#60;b&#62;&#38;&#34;?#.txt</a>');
  expect(page).not.toContain("<b>");
  expect(await raw("//evil.example/..")).toMatch(/ 404 /);
  expect(await (await get("/")).text()).toContain('<a href="sub%20dir/">');
});

test("other methods are refused", async () => {
  for (const method of ["POST", "PUT", "DELETE", "PROPFIND", "OPTIONS"]) {
    const answer = await get("file.txt", {}, method);
    const status = method === "OPTIONS" ? 204 : 405;
    expect([answer.status, answer.headers.get("allow")]).toEqual([status, "GET, HEAD, OPTIONS"]);
  }
});

test("an address that is taken is an error with a hint, a signal ends the server", async () => {
  const port = Number(new URL(server.url).port);
  await expect(serveDirectory(folder.path, { port })).rejects.toMatchObject({ code: "address-not-available" });
  await expect(serveDirectory(folder.join("nothing"))).rejects.toMatchObject({ code: "serve-failed" });
  const controller = new AbortController();
  const second = await serveDirectory(folder.path, { signal: controller.signal, host: "::1" }).catch(() =>
    serveDirectory(folder.path, { signal: controller.signal }),
  );
  expect((await fetch(second.url)).status).toBe(200);
  controller.abort();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await expect(fetch(second.url)).rejects.toThrow("fetch failed");
});

async function put(path: string, body: string | Uint8Array, url: string): Promise<number> {
  return (await fetch(new URL(path, url), { method: "PUT", body: Buffer.from(body) })).status;
}

test("chunks are put where they are asked for, and nothing else", async () => {
  const bytes = randomBytes(4000, "put");
  const stored = compressChunk(bytes).bytes;
  const path = `store/${chunkPath(chunkName(bytes))}`;
  expect(await put(path, stored, server.url)).toBe(405);
  const writable = await serveDirectory(folder.join("root"), { writable: true });
  mkdirSync(folder.join("root/store"));
  symlinkSync("/tmp", folder.join("root/out"));
  expect(await put(path, stored, writable.url)).toBe(201);
  expect(await put(path, "other", writable.url)).toBe(422);
  expect(await put(path, stored, writable.url)).toBe(204);
  expect(await put(path.replace("store", "out"), stored, writable.url)).toBe(404);
  expect(await put(path.replace("store", "nowhere"), stored, writable.url)).toBe(404);
  for (const name of ["index.html", "store/x.caibx", `store/0000/${chunkName(bytes)}`, "store/%2e%2e/x"])
    expect(await put(name, stored, writable.url)).toBe(403);
  expect(await put(path, "", writable.url)).toBe(422);
  expect(readFileSync(folder.join("root", path))).toEqual(Buffer.from(stored));
  expect(readdirSync(folder.join("root/store"), { recursive: true })).toHaveLength(2);
  await writable.close();
});

test("a chunk is removed by who names its version; nothing else is, and one level is described at a time", async () => {
  using own = temporaryFolder();
  const bytes = randomBytes(4000, "removed");
  const path = `store/${chunkPath(chunkName(bytes))}`;
  const prunable = await serveDirectory(own.path, { prunable: true });
  mkdirSync(own.join("store"));
  expect(await put(path, compressChunk(bytes).bytes, prunable.url)).toBe(201);
  writeFileSync(own.join("store/x.caibx"), "an index");
  writeFileSync(own.join("store/.hidden"), "");
  const remove = async (name: string, tag?: string): Promise<number> =>
    (await fetch(prunable.url + name, { method: "DELETE", headers: tag === undefined ? {} : { "if-match": tag } }))
      .status;
  const tag = (await fetch(prunable.url + path, { method: "HEAD" })).headers.get("etag") ?? "";
  expect(await remove(path)).toBe(428);
  expect(await remove(path, '"other"')).toBe(412);
  for (const name of ["store/x.caibx", "store/", "store", "", "store/%2e%2e/x"])
    expect(await remove(name, tag)).toBe(403);
  // in a chunk's place a link to another file
  const link = path.replace(/\/[0-9a-f]{4}(?=[0-9a-f]{60})/, "/ffff").replace(/store\/[0-9a-f]{4}/, "store/ffff");
  mkdirSync(own.join("store/ffff"));
  symlinkSync(own.join("store/x.caibx"), own.join(link));
  expect(await remove(link, (await fetch(prunable.url + link)).headers.get("etag") ?? "")).toBe(404);
  expect(readdirSync(own.join("store"))).toContain("x.caibx");

  const propfind = (name: string, depth: string): Promise<Response> =>
    fetch(prunable.url + name, { method: "PROPFIND", headers: { depth } });
  expect((await propfind("store", "infinity")).status).toBe(403);
  const described = await propfind("store/", "1");
  expect(described.status).toBe(207);
  const text = await described.text();
  expect(text.match(/<D:href>[^<]*/g)?.sort()).toEqual(
    ["/store/", "/store/ffff/", `/${path.slice(0, 10)}/`, "/store/x.caibx"].map((href) => `<D:href>${href}`).sort(),
  );
  expect(await remove(path, tag)).toBe(204);
  expect(await remove(path, tag)).toBe(404);
  expect(readdirSync(own.join("store"))).not.toContain(path.slice(6, 10));
  await prunable.close();
});

function basic(text: string): string {
  return `basic ${Buffer.from(text).toString("base64")}`;
}

test("only writers write where they are named", async () => {
  using own = temporaryFolder();
  mkdirSync(own.join("store"));
  const writers = parseWriters("# people\n\npublisher:a word: ä\nabc.DEF-123==\n", "writers");
  const guarded = await serveDirectory(own.path, { prunable: true, writers });
  const bytes = randomBytes(4000, "guarded");
  const url = `${guarded.url}store/${chunkPath(chunkName(bytes))}`;
  const send = async (method: string, authorization?: string, other: Record<string, string> = {}): Promise<number> => {
    const headers = { ...other, ...(authorization === undefined ? {} : { authorization }) };
    const body = method === "PUT" ? { body: Buffer.from(compressChunk(bytes).bytes) } : {};
    return (await fetch(url, { method, headers, ...body })).status;
  };
  for (const wrong of [undefined, "Bearer abc", basic("publisher:a word"), basic("abc.DEF-123=="), "Bearer "])
    for (const method of ["PUT", "DELETE", "PROPFIND"])
      expect(await send(method, wrong), `${method} ${wrong}`).toBe(401);
  expect(await send("PUT", basic("publisher:a word: ä"))).toBe(201);
  expect(await send("GET")).toBe(200);
  expect(await send("HEAD", undefined, { "imgtool-keep": "1" })).toBe(401);
  expect(await send("HEAD", "bearer  abc.DEF-123==", { "imgtool-keep": "1" })).toBe(200);
  expect(await send("PROPFIND", "Bearer abc.DEF-123==", { depth: "0" })).toBe(207);
  await guarded.close();
  for (const text of ["", "# nobody", "two words", "user:"])
    expect(() => parseWriters(text, "writers")).toThrow(expect.objectContaining({ code: "writers-invalid" }));
});

test("curl resumes a large file", async (context) => {
  needPrograms(context, "curl");
  const bytes = randomBytes(3_000_000, "curl");
  writeFileSync(folder.join("root/large"), bytes);
  writeFileSync(folder.join("copy"), bytes.subarray(0, 1_234_567));
  await execute("curl", ["-sSf", "--noproxy", "*", "-C", "-", "-o", folder.join("copy"), `${server.url}large`]);
  expect(Buffer.compare(readFileSync(folder.join("copy")), bytes)).toBe(0);
  expect(served.at(-1)).toMatchObject({ status: 206, bytes: 3_000_000 - 1_234_567 });
});

test("the real casync extracts a blob over HTTP", async (context) => {
  needPrograms(context, "casync", "curl");
  const blob = Buffer.concat([randomBytes(400_000, "casync http"), Buffer.alloc(200_000, "text ")]);
  writeFileSync(folder.join("blob"), blob);
  run("casync", [
    "make",
    `--store=${folder.join("root/default.castr")}`,
    folder.join("root/x.caibx"),
    folder.join("blob"),
  ]);
  // asynchronously: the server runs in this process
  await execute("casync", ["extract", `${server.url}x.caibx`, folder.join("out")], {
    env: { ...process.env, no_proxy: "*", NO_PROXY: "*" },
  });
  expect(Buffer.compare(readFileSync(folder.join("out")), blob)).toBe(0);
  expect(served.length).toBeGreaterThan(3);
  expect(served.every(({ status }) => status === 200)).toBe(true);
});

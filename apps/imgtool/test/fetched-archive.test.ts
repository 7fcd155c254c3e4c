// @module-tag system
/** Archives on a web server: read whole or not at all, or parts of one version. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { needRoot, randomBytes, run, runAsync, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cliAsync, expectError, imgtool } from "./cli.ts";

/** A web server with ranges, whose file can be exchanged under way. */
async function rangeServer(content: Buffer): Promise<{
  readonly url: string;
  content: Buffer;
  /** Whether a part is sent though If-Range names another version, as some servers do. */
  ignoresConditions: boolean;
  /** After so many requests, the content is another one of the same length. */
  changesAfter: number;
  /** Whether requests get no answer. */
  stalls: boolean;
  bytes: number;
  requests: number;
  close(): void;
}> {
  const server = createServer((request, response) => {
    if (started.stalls) return;
    if (++started.requests > started.changesAfter) started.content = Buffer.from(started.content).fill(7, 1000);
    const etag = `"${createHash("md5").update(started.content).digest("hex")}"`;
    const [, first = "0", last = ""] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const condition = request.headers["if-range"] ?? etag;
    const isPart = last !== "" && (condition === etag || started.ignoresConditions);
    const part = isPart ? started.content.subarray(Number(first), Number(last) + 1) : started.content;
    started.bytes += part.length;
    response.writeHead(isPart ? 206 : 200, {
      etag,
      "content-length": part.length,
      ...(isPart ? { "content-range": `bytes ${first}-${last}/${started.content.length}` } : {}),
    });
    response.end(part);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const started = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/t.catar`,
    content,
    ignoresConditions: false,
    changesAfter: Number.POSITIVE_INFINITY,
    stalls: false,
    bytes: 0,
    requests: 0,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return started;
}

/** An archive of 20 MB: three large files with small ones between them. */
function makeArchive(folder: TemporaryFolder): { readonly tree: string; readonly archive: string } {
  const [tree, archive] = [folder.join("tree"), folder.join("t.catar")];
  mkdirSync(`${tree}/sub`, { recursive: true });
  for (const name of ["a", "sub/f", "z"]) writeFileSync(`${tree}/${name}`, randomBytes(6_666_666, name));
  writeFileSync(`${tree}/sub/small`, "a small one");
  run(imgtool, ["make", archive, tree]);
  return { tree, archive };
}

test("of an archive at a URL, verbs that look into it fetch only what they need", async () => {
  using folder = temporaryFolder();
  const { tree, archive } = makeArchive(folder);
  const server = await rangeServer(readFileSync(archive));
  const fetched = async (args: readonly string[]): Promise<{ readonly stdout: string; readonly bytes: number }> => {
    server.bytes = 0;
    const result = await cliAsync(args);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    return { stdout: result.stdout, bytes: server.bytes };
  };
  for (const args of [
    ["list"],
    ["list", "sub"],
    ["list", "sub/f"],
    ["list", "--recursive=no"],
    ["list", "--recursive=no", "sub"],
    ["mtree", "--content-digest=no"],
    ["mtree", "--content-digest=no", "sub"],
    ["stat"],
    ["stat", "sub"],
    ["stat", "--content-digest=no", "sub/f"],
    ["stat", "sub/small"],
    ["cat", "sub/small"],
  ]) {
    const [verb = "", ...rest] = args;
    const options = rest.filter((word) => word.startsWith("-"));
    const path = rest.filter((word) => !word.startsWith("-"));
    const { stdout, bytes } = await fetched([verb, ...options, server.url, ...path]);
    expect(stdout).toBe(run(imgtool, [verb, ...options, archive, ...path]));
    expect(bytes, args.join(" ")).toBeLessThan(1_000_000);
  }
  const { bytes } = await fetched(["extract", server.url, folder.join("part"), "sub"]);
  expect(bytes).toBeGreaterThan(6_600_000);
  expect(bytes).toBeLessThan(8_000_000);
  expect(readFileSync(folder.join("part/sub/f")).equals(readFileSync(`${tree}/sub/f`))).toBe(true);
  server.close();
});

test.each([false, true])(
  "an archive that changes while parts of it are read is an error (server ignores conditions: %s)",
  async (ignoresConditions) => {
    using folder = temporaryFolder();
    const { archive } = makeArchive(folder);
    const content = readFileSync(archive);
    const server = await rangeServer(content);
    server.ignoresConditions = ignoresConditions;
    for (const changesAfter of [1, 2, 4]) {
      Object.assign(server, { requests: 0, changesAfter, content });
      const target = folder.join(`out-${changesAfter}`);
      expectError(await cliAsync(["extract", server.url, target, "sub"]), 8, "was changed while it was read");
      expect(server.content.equals(content)).toBe(false);
    }
    server.close();
  },
);

test("a mounted archive is fetched as it is read, and never mixed with another", async (context) => {
  needRoot(context);
  if (!existsSync("/dev/fuse")) context.skip("needs /dev/fuse");
  using folder = temporaryFolder();
  const { tree, archive } = makeArchive(folder);
  const server = await rangeServer(readFileSync(archive));
  const target = folder.join("mnt");
  const child = spawn(imgtool, ["mount", server.url, target], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  try {
    await Promise.race([once(child.stdout, "data"), ended]);
    expect(await runAsync("cat", [`${target}/sub/small`])).toBe("a small one");
    expect(server.bytes).toBeLessThan(1_000_000);
    await runAsync("cmp", [`${target}/sub/f`, `${tree}/sub/f`]);
    server.changesAfter = 0;
    await expect(runAsync("cat", [`${target}/z`])).rejects.toThrow("Input/output error");
  } finally {
    child.kill("SIGTERM");
    await ended;
    server.close();
  }
});

test("of a mounted archive whose server says nothing any more, reading fails in time", async (context) => {
  needRoot(context);
  if (!existsSync("/dev/fuse")) context.skip("needs /dev/fuse");
  using folder = temporaryFolder();
  const server = await rangeServer(readFileSync(makeArchive(folder).archive));
  const target = folder.join("mnt");
  const child = spawn(imgtool, ["mount", "--timeout=1", server.url, target], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  try {
    await Promise.race([once(child.stdout, "data"), ended]);
    expect(await runAsync("cat", [`${target}/sub/small`])).toBe("a small one");
    server.stalls = true;
    const before = performance.now();
    await expect(runAsync("cat", [`${target}/z`])).rejects.toThrow("Input/output error");
    // The kernel asks again for less, and the server is known to be down then.
    expect(performance.now() - before).toBeLessThan(8000);
  } finally {
    child.kill("SIGTERM");
    await ended;
    server.close();
  }
});

test("an archive at an sftp URL is listed and extracted, in parts and whole", async () => {
  using folder = temporaryFolder();
  const { tree, archive } = makeArchive(folder);
  const ssh = folder.join("ssh");
  writeFileSync(ssh, "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n", { mode: 0o755 });
  const env = { CASYNC_SSH_PATH: ssh };
  const url = `sftp://host${archive}`;
  const listed = await cliAsync(["list", url], { env });
  expect(listed).toMatchObject({ exitCode: 0, stdout: run(imgtool, ["list", archive]) });
  for (const path of [[], ["sub"]]) {
    const target = folder.join(`out${path.length}`);
    expect(await cliAsync(["extract", url, target, ...path], { env })).toMatchObject({ exitCode: 0 });
    expect(readFileSync(`${target}/sub/f`).equals(readFileSync(`${tree}/sub/f`))).toBe(true);
  }
  expectError(await cliAsync(["list", `${url}.catar`], { env }), 4, "there is no file at sftp://");
  expectError(await cliAsync(["extract", `${url}.catar`, folder.join("none")], { env }), 4, "there is no");
  expectError(await cliAsync(["list", "gopher://host/x.catar"]), 2, "no driver reads an archive at gopher://");
});

test("an archive at a URL is listed and extracted; one that breaks off or is not there is an error", async () => {
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  mkdirSync(`${tree}/sub`, { recursive: true });
  writeFileSync(`${tree}/sub/file`, randomBytes(500_000, "fetched archive"));
  run(imgtool, ["make", folder.join("t.catar"), tree]);
  const bytes = readFileSync(folder.join("t.catar"));
  const ranges: (string | undefined)[] = [];
  let served = bytes.length;
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    if (request.url !== "/t.catar") response.writeHead(404).end();
    else if (served === bytes.length) response.end(bytes);
    else {
      response.setHeader("content-length", bytes.length);
      response.write(bytes.subarray(0, served), () => response.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const temporary = folder.join("temporary");
  mkdirSync(temporary);
  mkdirSync(folder.join("imgtool"));
  writeFileSync(folder.join("imgtool/stores.conf"), `[Store ${url}]\nRetries=0\n`);
  const env = { TMPDIR: temporary, XDG_CONFIG_HOME: folder.path };
  const listed = await cliAsync(["list", `${url}/t.catar`], { env });
  expect(listed).toMatchObject({ exitCode: 0, stdout: run(imgtool, ["list", folder.join("t.catar")]) });
  expect(await cliAsync(["extract", `${url}/t.catar`, folder.join("out")], { env })).toMatchObject({ exitCode: 0 });
  expect(await cliAsync(["extract", `${url}/t.catar`, folder.join("part"), "sub"], { env })).toMatchObject({
    exitCode: 0,
  });
  for (const path of ["out/sub/file", "part/sub/file"])
    expect(readFileSync(folder.join(path)).equals(readFileSync(`${tree}/sub/file`))).toBe(true);
  expect(await cliAsync(["extract", `${url}/t.catar`, folder.join("out.tar")], { env })).toMatchObject({ exitCode: 0 });
  expectError(await cliAsync(["list", `${url}/none.catar`], { env }), 4, "there is no");
  served = 1000;
  expectError(await cliAsync(["extract", `${url}/t.catar`, folder.join("cut")], { env }), 8);
  expect(existsSync(folder.join("cut/sub"))).toBe(false);
  // A server without ranges: it is asked for the first byte to know that.
  expect(new Set(ranges)).toEqual(new Set([undefined, "bytes=0-0"]));
  // Nothing of what was fetched stays.
  expect(readdirSync(temporary)).toEqual([]);
  server.close();
  server.closeAllConnections();
});

// @module-tag system
/** Archives on a web server: read whole or not at all. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cliAsync, expectError, imgtool } from "./cli.ts";

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
  expect(new Set(ranges)).toEqual(new Set([undefined]));
  // Nothing of what was fetched stays.
  expect(readdirSync(temporary)).toEqual([]);
  server.close();
  server.closeAllConnections();
});

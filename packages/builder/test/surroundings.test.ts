/** What a project asks for of the machine that it is built on. */
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { silentProgress } from "@imgtool/core";
import { requireTool, runTool } from "@imgtool/host";
import { needPrograms, needRoot, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { build, withSurroundings } from "../src/index.ts";
import { testConfig } from "./config.ts";

test("scripts and programs have the project's proxy, and its folders with programs first", async (context) => {
  needRoot(context);
  needPrograms(context, "bwrap", "curl");
  using folder = temporaryFolder();
  const asked: string[] = [];
  const proxy = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.end("from the proxy");
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  try {
    mkdirSync(folder.join("tools"));
    writeFileSync(folder.join("tools/own-tool"), "#!/bin/sh\necho own\n");
    writeFileSync(
      folder.join("mkosi.sync"),
      "#!/bin/sh\nset -e\ncurl -sf http://nowhere.invalid/a >fetched\nown-tool >>fetched\n",
    );
    for (const name of ["tools/own-tool", "mkosi.sync"]) chmodSync(folder.join(name), 0o755);
    mkdirSync(folder.join("skeleton/usr/lib"), { recursive: true });
    writeFileSync(folder.join("skeleton/usr/lib/os-release"), "ID=custom\n");
    const config = testConfig(folder.path, {
      skeletonTrees: [{ source: folder.join("skeleton"), target: "/" }],
      syncScripts: [folder.join("mkosi.sync")],
      buildSources: [{ source: folder.path, target: "/" }],
      proxyUrl: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
      extraSearchPaths: [folder.join("tools")],
      outputMode: 0o640,
    });
    const before = { ...process.env };
    const ran = await withSurroundings(config, { progress: silentProgress }, async () => {
      await build(config);
      const fetched = await runTool("curl", ["-sf", "http://nowhere.invalid/b"], {
        env: { http_proxy: process.env["http_proxy"] ?? "" },
      });
      return [fetched.stdout, await requireTool("own-tool")];
    });
    expect(ran).toEqual(["from the proxy", folder.join("tools/own-tool")]);
    expect(readFileSync(folder.join("fetched"), "utf8")).toBe("from the proxyown\n");
    expect(asked).toEqual(["http://nowhere.invalid/a", "http://nowhere.invalid/b"]);
    expect(process.env).toEqual(before);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

test("OutputMode= is the mode of all outputs that are files", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("skeleton/usr/lib"), { recursive: true });
  writeFileSync(folder.join("skeleton/usr/lib/os-release"), "ID=custom\n");
  const config = testConfig(folder.path, {
    format: "tar",
    skeletonTrees: [{ source: folder.join("skeleton"), target: "/" }],
    outputMode: 0o640,
  });
  const { artifacts } = await build(config);
  const files = [...artifacts.map(({ path }) => path), `${config.output}.build.json`];
  expect(files.length).toBeGreaterThan(1);
  for (const path of files)
    expect([path, statSync(`${config.outputDirectory}/${path}`).mode & 0o7777]).toEqual([path, 0o640]);
});

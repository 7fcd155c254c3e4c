// @module-tag system
/** `imgtool gc`, `verify` and `info` of a store on a web server that lists and removes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cliAsync, expectError, imgtool } from "./cli.ts";

test("a store on a web server is published to and cleaned by those who may", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("www/default.castr"), { recursive: true });
  writeFileSync(folder.join("writers"), "correct-horse\n", { mode: 0o600 });
  const child = spawn(
    imgtool,
    ["serve", "--json", "--port=0", "--prunable", `--writers=${folder.join("writers")}`, folder.join("www")],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = once(child, "exit");
  try {
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const url = /"url":"([^"]+)"/.exec(line.toString())?.[1] ?? "";
    const store = `${url}default.castr`;
    for (const [name, token] of [
      ["right", "correct-horse"],
      ["wrong", "battery-staple"],
    ] as const) {
      mkdirSync(folder.join(`${name}/imgtool`), { recursive: true });
      writeFileSync(folder.join(`${name}/imgtool/stores.conf`), `[Store ${url}]\nBearerToken=${token}\n`, {
        mode: 0o600,
      });
    }
    const as = (name: string, ...args: readonly string[]): ReturnType<typeof cliAsync> =>
      cliAsync(args, { cwd: folder.path, env: { XDG_CONFIG_HOME: folder.join(name), CASYNC_STORE: store } });
    for (const version of ["1", "2"]) {
      writeFileSync(folder.join("raw"), randomBytes(1_000_000, version));
      expect(await as("right", "make", `${version}.caibx`, "raw")).toMatchObject({ exitCode: 0 });
    }
    const all = await as("right", "info", "--json", store, "2.caibx");
    expect(all.stdout).toContain('"missing":0');
    const refused = await as("wrong", "gc", "2.caibx");
    expectError(refused, 8, "status 401", "stores.conf");
    expect(refused.stderr).not.toContain("battery-staple");

    const kept = await as("right", "gc", "2.caibx");
    expect(kept.stdout).toContain("removed 0 chunks");
    for (const path of readdirSync(folder.join("www/default.castr"), { recursive: true, encoding: "utf8" }))
      if (path.endsWith(".cacnk"))
        utimesSync(join(folder.path, "www/default.castr", path), 1_500_000_000, 1_500_000_000);
    // A writer finds the chunks of the first version just before they would go.
    writeFileSync(folder.join("raw"), randomBytes(1_000_000, "1"));
    expect(await as("right", "make", "again.caibx", "raw")).toMatchObject({ exitCode: 0 });
    expect((await as("right", "gc", "2.caibx")).stdout).toMatch(/removed 0 chunks.*unused but recent/);
    const removed = await as("right", "gc", "--grace-period=0", "2.caibx");
    expect(removed.stdout).toMatch(/removed [1-9]\d* chunks/);
    expect(await as("right", "verify", store)).toMatchObject({ exitCode: 0 });
    expect(await as("right", "verify", "2.caibx")).toMatchObject({ exitCode: 0 });
    expect(await as("right", "verify", "1.caibx")).toMatchObject({ exitCode: 3 });
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
});

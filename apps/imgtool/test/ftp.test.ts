// @module-tag system
/** Verbs over FTP, judged by ProFTPD: a connection that stays open keeps no run from ending. */
import { mkdirSync, writeFileSync } from "node:fs";
import { needPrograms, randomBytes, temporaryFolder } from "@imgtool/testkit";
import { startProftpd } from "@imgtool/testkit/servers";
import { expect, test } from "vitest";
import { cliAsync, expectError } from "./cli.ts";

test("what fails on an FTP server is told, and the run ends", async (context) => {
  needPrograms(context, "proftpd");
  using folder = temporaryFolder();
  const server = await startProftpd();
  try {
    const url = `ftp://tester:pass%20word%3A%40%2F@127.0.0.1:${server.port}/${folder.path}`;
    writeFileSync(folder.join("raw"), randomBytes(200_000, "ftp"));
    const run = (...args: readonly string[]): ReturnType<typeof cliAsync> => cliAsync(args, { cwd: folder.path });
    expect(await run("make", `--store=${url}/far.castr`, "x.caibx", "raw")).toMatchObject({ exitCode: 0 });
    expect(await run("gc", `--store=${url}/far.castr`, "x.caibx")).toMatchObject({ exitCode: 0 });

    expectError(await run("gc", `--store=${url}/none.castr`, "x.caibx"), 2, "holds none of the chunks");
    expectError(await run("list", `${url}/none/x.caidx`), 4, "there is no index ftp://");
    const missing = await run("extract", "--seed-output=no", `--store=${url}/none.castr`, "x.caibx", "out");
    expectError(missing, 4, "is missing", "/none.castr");
    mkdirSync(folder.join("no-chunks"));
    expectError(await run("extract", `--store=${url}/no-chunks`, "x.caibx", "out"), 4, "is missing");
    // a file where a folder is needed
    expectError(
      await run("make", `--store=${url}/raw/s.castr`, "y.caibx", "raw"),
      6,
      "raw/s.castr",
      "what the user may do",
    );
    expectError(await run("make", `--store=${url}/far.castr`, `${url}/raw/y.caibx`, "raw"), 6, "raw/y.caibx");
  } finally {
    await server.close();
  }
});

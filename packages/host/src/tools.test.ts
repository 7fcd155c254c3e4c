import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { AbortedError, EnvironmentError, ProcessError } from "@imgtool/core";
import { runningProcesses, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { runTool } from "./index.ts";

test("a tool that fails is an error with its last words, one that is missing with its package", async () => {
  await expect(runTool("sh", ["-c", "echo out; echo why >&2; exit 3"])).rejects.toThrow(/sh exited with 3\n[^]*why/);
  await expect(runTool("sh", ["-c", "kill -9 $$"])).rejects.toThrow(ProcessError);
  await expect(runTool("no-such-program", [])).rejects.toThrow(EnvironmentError);
});

test("an abort ends a tool with all that it started, even what ignores it", async () => {
  using folder = temporaryFolder();
  const controller = new AbortController();
  // The straggler holds the pipes open, as bwrap's child can.
  const script = `(trap '' TERM INT; while :; do sleep 0.05; done; : ${folder.path}) & echo started; wait`;
  const running = runTool("sh", ["-c", script], {
    signal: controller.signal,
    onStdoutLine: () => controller.abort(),
  });
  await expect(running).rejects.toThrow(AbortedError);
  expect(runningProcesses(`: ${folder.path}`)).toEqual([]);
});

test("a tool is out of reach of the terminal's Ctrl-C, and ends with the process", async () => {
  using folder = temporaryFolder();
  const marker = folder.join("started");
  const program = `
    import { runTool } from "@imgtool/host";
    process.on("SIGINT", () => process.exit(130));
    await runTool("sh", ["-c", "echo $$ > ${marker}; sleep 60; : done"]);`;
  writeFileSync(folder.join("program"), program);
  const args = ["--conditions=@imgtool/source", "--input-type=module", "-e", program];
  const child = spawn(process.execPath, args, { cwd: import.meta.dirname, detached: true, stdio: "inherit" });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  while (!existsSync(marker)) await sleep(20);
  expect(runningProcesses(marker)).not.toEqual([]);
  if (child.pid !== undefined) process.kill(-child.pid, "SIGINT");
  expect(await ended).toBe(130);
  await expect.poll(() => runningProcesses(marker)).toEqual([]);
});

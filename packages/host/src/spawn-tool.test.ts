import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { needPrograms } from "@imgtool/testkit";
import { expect, test } from "vitest";

/** Starts a program that would run for long, and tells its number. */
const script = `
  import { spawnTool } from "@imgtool/host";
  const child = await spawnTool("sleep", ["1000"], { stdio: "ignore", endsWithParent: "KILL" });
  console.log(child.pid);
  setInterval(() => {}, 1000);
`;

test("a program that ends with its parent does so when the parent is killed", async (context) => {
  needPrograms(context, "setpriv", "sleep");
  const flags = ["--conditions=@imgtool/source", "--input-type=module", "-e", script];
  const parent = spawn(process.execPath, flags, { cwd: import.meta.dirname, stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = line.toString().trim();
  expect(pid).toMatch(/^\d+$/);
  const isRunning = (): boolean => {
    const path = `/proc/${pid}/stat`;
    // A zombie has ended.
    return existsSync(path) && !/\) Z /.test(readFileSync(path, "utf8"));
  };
  // Before setpriv has become the program, it has not yet asked for the signal.
  await expect.poll(() => readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("sleep\n");
  parent.kill("SIGKILL");
  await expect.poll(isRunning).toBe(false);
});

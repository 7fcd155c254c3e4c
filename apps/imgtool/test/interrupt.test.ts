/** Ctrl-C, as a terminal sends it to the whole process group, and SIGKILL. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  needPrograms,
  needRoot,
  randomBytes,
  runningProcesses,
  temporaryFolder,
  type TemporaryFolder,
  mountsBelow,
} from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, imgtool } from "./cli.ts";

const system = { tags: ["system"] };

/** Starts imgtool as a shell does: as the leader of a process group. */
function start(args: readonly string[], cwd: string): ChildProcess {
  return spawn(imgtool, args, { cwd, detached: true, stdio: ["ignore", "ignore", "pipe"] });
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid !== undefined) process.kill(-pid, signal);
}

async function ended(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  return new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? signal)));
}

/** A project whose script says that it runs and then waits, with children of its own. */
function project(folder: TemporaryFolder): void {
  mkdirSync(folder.join("mkosi.skeleton/usr"), { recursive: true });
  writeFileSync(
    folder.join("mkosi.conf"),
    "[Distribution]\nDistribution=custom\n[Output]\nFormat=directory\nOutput=thing\n",
  );
  writeFileSync(
    folder.join("mkosi.postinst"),
    `#!/bin/sh\ntrap '' INT TERM\nmount -t tmpfs tmpfs "$BUILDROOT/usr"\n(while :; do sleep 0.1; done) &\n: >/work/out/ready\nwait\n`,
  );
  chmodSync(folder.join("mkosi.postinst"), 0o755);
}

/**
 * Resolves when the script of the project runs, which it says with a file. Earlier would be too early: a bwrap
 * that is killed between starting its child and letting it go leaves that child waiting for ever.
 */
async function scriptRuns(folder: TemporaryFolder): Promise<void> {
  const ready = (): boolean =>
    readdirSync(folder.path).some(
      (name) => name.startsWith(".thing.build-") && existsSync(folder.join(name, "out/ready")),
    );
  await expect.poll(ready).toBe(true);
}

test.for([1, 2])(
  "%i Ctrl-C amid a build: exit code 130, nothing runs, nothing is mounted",
  system,
  async (times, context) => {
    needRoot(context);
    needPrograms(context, "bwrap", "mount");
    using folder = temporaryFolder();
    project(folder);
    const build = start(["build"], folder.path);
    const exit = ended(build);
    await scriptRuns(folder);
    for (let i = 0; i < times; i++) signalGroup(build, "SIGINT");
    expect(await exit).toBe(130);
    await expect.poll(() => runningProcesses(folder.path)).toEqual([]);
    expect(mountsBelow(folder.path)).toEqual([]);
    // At once means without cleaning up: the next build does that.
    const left = readdirSync(folder.path).filter((name) => name.startsWith(".thing"));
    expect(left.length).toBeLessThan(times);
    expect(readdirSync(folder.path)).not.toContain("thing");
  },
);

test("a build that was killed does not hinder the next one, which removes what it left", system, async (context) => {
  needRoot(context);
  needPrograms(context, "bwrap", "mount");
  using folder = temporaryFolder();
  project(folder);
  const build = start(["build"], folder.path);
  const exit = ended(build);
  await scriptRuns(folder);
  signalGroup(build, "SIGKILL");
  expect(await exit).toBe("SIGKILL");
  await expect.poll(() => runningProcesses(folder.path)).toEqual([]);
  writeFileSync(folder.join("mkosi.postinst"), "#!/bin/sh\n");
  const next = cli(["build"], { cwd: folder.path });
  expect(next.exitCode, next.stderr).toBe(0);
  expect(readdirSync(folder.path).filter((name) => name.startsWith(".thing"))).toEqual([]);
});

test("make and extract, interrupted or killed: no index, no output, and the next run works", system, async () => {
  using folder = temporaryFolder();
  const cwd = folder.path;
  writeFileSync(folder.join("blob"), randomBytes(150_000_000, "interrupt"));
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    const make = start(["make", "blob.caibx", "blob"], cwd);
    const exit = ended(make);
    await expect.poll(() => readdirSync(cwd), { interval: 10 }).toContain("default.castr");
    signalGroup(make, signal);
    expect(await exit).toBe(signal === "SIGINT" ? 130 : signal);
    expect(readdirSync(cwd)).not.toContain("blob.caibx");
  }
  expect(cli(["make", "blob.caibx", "blob"], { cwd }).exitCode).toBe(0);
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    const extract = start(["extract", "blob.caibx", "out"], cwd);
    const exit = ended(extract);
    await expect.poll(() => readdirSync(cwd), { interval: 5 }).toContain(".out.partial");
    signalGroup(extract, signal);
    expect(await exit).toBe(signal === "SIGINT" ? 130 : signal);
    expect(readdirSync(cwd)).not.toContain("out");
  }
  expect(cli(["extract", "blob.caibx", "out"], { cwd }).exitCode).toBe(0);
  expect(readdirSync(cwd).filter((name) => name.startsWith(".out."))).toEqual([]);
  expect(readFileSync(folder.join("out")).equals(readFileSync(folder.join("blob")))).toBe(true);
});

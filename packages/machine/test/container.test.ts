// @module-tag system
/** Containers of busybox in the real systemd-nspawn. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import {
  findProgram,
  needPrograms,
  needRoot,
  runningProcesses,
  temporaryFolder,
  type TemporaryFolder,
} from "@imgtool/testkit";
import { expect, test } from "vitest";

/** A tree that systemd-nspawn takes for a system. */
function busyboxTree(folder: TemporaryFolder): string {
  for (const name of ["bin", "etc", "root", "usr", "tmp", "proc", "sys", "dev", "run", "var/tmp"])
    mkdirSync(folder.join("tree", name), { recursive: true });
  copyFileSync(findProgram("busybox") ?? "", folder.join("tree/bin/busybox"));
  for (const name of ["sh", "cat", "sleep", "stat", "test", "true"])
    symlinkSync("busybox", folder.join("tree/bin", name));
  writeFileSync(folder.join("tree/etc/os-release"), "ID=test\n");
  mkdirSync(folder.join("shared"));
  mkdirSync(folder.join("temporary"));
  return folder.join("tree");
}

/** Runs a command in the tree, in a process of its own. */
function shell(folder: TemporaryFolder, script: string, runtime: Readonly<Record<string, unknown>> = {}): ChildProcess {
  const options = {
    image: { name: `test-${process.pid}`, architecture: "x86-64", kind: "directory", path: folder.join("tree") },
    runtime: {
      credentials: { secret: "very secret" },
      ephemeral: false,
      kernelCommandLine: [],
      kernelCommandLineExtra: [],
      register: "auto",
      runtimeHome: false,
      runtimeNetwork: "none",
      runtimeScratch: "enabled",
      runtimeTrees: [{ source: folder.join("shared"), target: "" }],
      unitProperties: [],
      ...runtime,
    },
    mode: "shell",
    command: ["/bin/sh", "-c", script],
  };
  const program = `
    import { runContainer } from "@imgtool/machine";
    process.exitCode = await runContainer(${JSON.stringify(options)});`;
  return spawn(process.execPath, ["--conditions=@imgtool/source", "--input-type=module", "-e", program], {
    cwd: import.meta.dirname,
    env: { ...process.env, TMPDIR: folder.join("temporary") },
    stdio: ["ignore", "inherit", "inherit"],
  });
}

const waiting = `
  cat "$CREDENTIALS_DIRECTORY/secret" >/root/src/secret
  stat -c %a /var/tmp >/root/src/scratch
  : >/root/src/ready
  while ! test -e /root/src/go; do sleep 0.05; done
  exit 7`;

/** Every file below, and what is in it. */
function contents(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: "utf8", withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [readFileSync(`${entry.parentPath}/${entry.name}`, "utf8")] : [],
  );
}

test("a container has its credentials, its folder and its scratch space, and ends with its status", async (context) => {
  needRoot(context);
  needPrograms(context, "systemd-nspawn", "busybox");
  using folder = temporaryFolder();
  busyboxTree(folder);
  const child = shell(folder, waiting);
  const ended = once(child, "close");
  await expect.poll(() => existsSync(folder.join("shared/ready"))).toBe(true);
  expect(readFileSync(folder.join("shared/secret"), "utf8")).toBe("very secret");
  expect(readFileSync(folder.join("shared/scratch"), "utf8")).toBe("1777\n");
  // No secret lies on disk while the container runs.
  expect(contents(folder.join("temporary"))).toEqual([]);
  writeFileSync(folder.join("shared/go"), "");
  expect(await ended).toEqual([7, null]);
  expect(readdirSync(folder.join("temporary"))).toEqual([]);
});

test("imgtool killed, no secret stays and no container runs on", async (context) => {
  needRoot(context);
  needPrograms(context, "systemd-nspawn", "busybox", "setpriv");
  using folder = temporaryFolder();
  const tree = busyboxTree(folder);
  const marker = `container of ${folder.path}`;
  const child = shell(folder, `: ${marker}\n${waiting}`);
  const ended = once(child, "close");
  await expect.poll(() => existsSync(folder.join("shared/ready"))).toBe(true);
  expect(runningProcesses(`--directory=${tree}`)).not.toEqual([]);
  expect(runningProcesses(marker)).not.toEqual([]);
  child.kill("SIGKILL");
  await ended;
  await expect.poll(() => runningProcesses(`--directory=${tree}`)).toEqual([]);
  // Nor what ran in it.
  await expect.poll(() => runningProcesses(marker)).toEqual([]);
  expect(contents(folder.join("temporary"))).toEqual([]);
});

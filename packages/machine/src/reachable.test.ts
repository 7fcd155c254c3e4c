import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { silentProgress } from "@imgtool/core";
import { findProgram, needPrograms, temporaryFolder } from "@imgtool/testkit";
import { expect, test, vi } from "vitest";
import { announceMachine, findMachine, sshArguments } from "./reachable.ts";
import type { RunningMachine } from "./start-machine.ts";

test("a running machine is found by its name until it ends or is killed", async (context) => {
  needPrograms(context, "sleep");
  using folder = temporaryFolder();
  vi.stubEnv("XDG_RUNTIME_DIR", folder.path);
  copyFileSync(findProgram("sleep") ?? "", folder.join("qemu-sleep"));
  const child = spawn(folder.join("qemu-sleep"), ["1000"], { stdio: "ignore" });
  await once(child, "spawn");
  const machine: RunningMachine = {
    input: undefined,
    output: undefined,
    ended: new Promise(() => {}),
    pid: child.pid,
    sshPort: async () => 2222,
    kill: () => {},
  };
  const warnings: string[] = [];
  const progress = { ...silentProgress, log: (_: string, message: string) => void warnings.push(message) };
  const announced = { name: "a/b", machine, key: "/k", vsock: undefined, progress };
  const missing = expect.objectContaining({ code: "machine-not-running" }) as Error;
  await expect(findMachine("a/b")).rejects.toEqual(missing);
  {
    await using _ = await announceMachine(announced);
    expect(await findMachine("a/b")).toEqual({ name: "a/b", pid: child.pid, key: "/k", address: { port: 2222 } });
    // A second one of that name leaves the first one's file.
    await (await announceMachine({ ...announced, vsock: 7 }))[Symbol.asyncDispose]();
    expect(warnings).toEqual([expect.stringContaining("another machine named a/b runs")]);
    expect(await findMachine("a/b")).toMatchObject({ address: { port: 2222 } });
  }
  await expect(findMachine("a/b")).rejects.toEqual(missing);
  expect(readdirSync(folder.join("imgtool/machines"))).toEqual([]);

  await announceMachine({ ...announced, vsock: 7 });
  expect(await findMachine("a/b")).toMatchObject({ address: { vsock: 7 } });
  child.kill("SIGKILL");
  await once(child, "close");
  await expect(findMachine("a/b")).rejects.toEqual(missing);
});

test("a machine that nobody can log in to gets no file, and one that ends at once holds nobody up", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("run"));
  vi.stubEnv("XDG_RUNTIME_DIR", folder.join("run"));
  const machine: RunningMachine = {
    input: undefined,
    output: undefined,
    ended: Promise.reject(new Error("no such device")),
    pid: process.pid,
    sshPort: async () => await new Promise(() => {}),
    kill: () => {},
  };
  const options = { name: "x", machine, vsock: undefined, progress: silentProgress };
  await using _ = await announceMachine({ ...options, key: undefined });
  await using __ = await announceMachine({ ...options, key: "/k" });
  expect(existsSync(folder.join("run/imgtool"))).toBe(false);
});

test("ssh uses the project's key only, by the port or by VSOCK", () => {
  const machine = { name: "x", pid: 1, key: "/k" };
  const byPort = sshArguments({ ...machine, address: { port: 2222 } }, ["uname", "-a"]);
  expect(byPort.slice(-5)).toEqual(["-p", "2222", "root@127.0.0.1", "uname", "-a"]);
  expect(byPort).toContain("IdentitiesOnly=yes");
  const byVsock = sshArguments({ ...machine, address: { vsock: 7 } }, []);
  expect(byVsock).toContain("ProxyCommand=socat - VSOCK-CONNECT:7:22");
  expect(byVsock.at(-1)).toBe("root@127.0.0.1");
});

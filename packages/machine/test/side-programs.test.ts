// @module-tag system
/** What runs beside a machine, judged by the real programs: QEMU's monitor, virtiofsd, swtpm, journalctl. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { findProgram, needPrograms, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { askMonitor } from "../src/control.ts";
import { receiveJournal } from "../src/journal.ts";
import { qemuArguments } from "../src/qemu-arguments.ts";
import { startMachine } from "../src/start-machine.ts";

const journalRemote = "/lib/systemd/systemd-journal-remote";

test("QEMU has the drives, the folder, the TPM and the port that were asked for, and nothing stays", async (context) => {
  needPrograms(context, "qemu-system-x86_64", "swtpm", "mkfs.ext4");
  using folder = temporaryFolder();
  mkdirSync(folder.join("a, b"));
  mkdirSync(folder.join("drives"));
  const drive = { size: 16 * 1024 ** 2, directory: folder.join("drives") };
  const machine = await startMachine({
    name: "test",
    architecture: "x86-64",
    boot: { kind: "bios" },
    disks: [],
    kvm: "disabled",
    ram: 64 * 1024 ** 2,
    drives: [
      { ...drive, id: "one", options: "readonly=off", fileId: "same" },
      { ...drive, id: "two", options: undefined, fileId: "same" },
      { ...drive, id: "three", options: undefined, fileId: "three" },
    ],
    scratch: "ext4",
    folders: [{ source: folder.join("a, b"), target: "/root/src" }],
    journal: tryRun(journalRemote, ["--version"]).status === 0 ? folder.join("journal") : undefined,
    tpm: true,
    forwardSsh: true,
    extraArguments: ["-device", "nvme,serial=x,drive=three", "-S"],
  });
  const ended = machine.ended.catch((error: unknown) => error);
  try {
    const port = await machine.sshPort?.();
    expect(port, String(await Promise.race([ended, Promise.resolve("runs")]))).toBeGreaterThan(1023);
    // QEMU holds the drives open, and nobody finds them by a name.
    expect(readdirSync(folder.join("drives"))).toEqual([]);
    const controlSocket =
      /unix:(\S+?),server=on/.exec(run("ps", ["-o", "args=", "-p", String(machine.pid)]))?.[1] ?? "";
    const ask = async (line: string): Promise<string> => await askMonitor(controlSocket, line);
    const blocks = await ask("info block");
    for (const id of ["one", "two", "three", "scratch"])
      expect(blocks).toMatch(new RegExp(`^${id} .*: /proc/self/fd/`, "m"));
    const devices = await ask("info qtree");
    expect(devices).toMatch(/dev: nvme[^]*drive = "three"/);
    expect(devices).toMatch(/dev: virtio-blk-pci[^]*serial = "one"/);
    expect(devices).not.toMatch(/serial = "three"/);
    expect(devices).toMatch(/(tag|mount_tag) = "share0"/);
    expect(await ask("info tpm")).toContain("tpm-tis");
  } finally {
    machine.kill();
  }
  expect(await ended).toMatchObject({ code: "aborted" });
});

test("QEMU takes a folder by 9p, and a screen", async (context) => {
  needPrograms(context, "qemu-system-x86_64");
  using folder = temporaryFolder();
  mkdirSync(folder.join("a, b"));
  const controlSocket = folder.join("control");
  const args = qemuArguments({
    name: "test",
    accelerator: "tcg",
    qemuVersion: 7,
    cpus: 1,
    ram: 64 * 1024 ** 2,
    boot: { kind: "bios" },
    disks: [],
    drives: [],
    shares: [{ kind: "9p", tag: "share0", source: folder.join("a, b") }],
    credentials: [],
    network: "none",
    forwardSsh: false,
    journalSocket: undefined,
    tpmSocket: undefined,
    vsockConnection: undefined,
    screen: true,
    console: "pipes",
    statusSocket: folder.join("status"),
    controlSocket,
    extraArguments: ["-display", "none", "-S"],
  });
  // Nobody listens for the status here.
  const child = spawn(
    findProgram("qemu-system-x86_64") ?? "",
    args
      .join("\n")
      .replace(/socket,id=status,\S+/, "null,id=status")
      .split("\n"),
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let complaints = "";
  child.stderr.on("data", (bytes: Buffer) => (complaints += bytes.toString()));
  const ended = once(child, "close");
  try {
    const devices = await askMonitor(controlSocket, "info qtree");
    expect(devices, complaints).toContain('mount_tag = "share0"');
    expect(devices).toContain("dev: virtio-vga");
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
});

test("a TPM that is asked for and cannot be had is an error, and so is a folder that is none", async () => {
  const options = { name: "test", architecture: "x86-64", boot: { kind: "bios" }, disks: [], kvm: "disabled" } as const;
  await expect(
    startMachine({ ...options, folders: [{ source: "/nonexistent", target: "/root/src" }] }),
  ).rejects.toMatchObject({ code: "runtime-tree-missing" });
});

test("what a container's journal sends lands in the file", async (context) => {
  if (tryRun(journalRemote, ["--version"]).status !== 0) context.skip("needs systemd-journal-remote");
  needPrograms(context, "journalctl");
  using folder = temporaryFolder();
  const [output, socketPath] = [folder.join("logs/out.journal"), folder.join("socket")];
  {
    await using _ = await receiveJournal(output, socketPath, undefined);
    const socket = connect(socketPath);
    await once(socket, "connect");
    const fields = { __REALTIME_TIMESTAMP: "1700000000000000", __MONOTONIC_TIMESTAMP: "1", _BOOT_ID: "a".repeat(32) };
    const entry = { ...fields, MESSAGE: "from inside", PRIORITY: "6" };
    socket.end(
      `${Object.entries(entry)
        .map(([name, value]) => `${name}=${value}\n`)
        .join("")}\n`,
    );
    await once(socket, "close");
    await expect
      .poll(() => tryRun("journalctl", ["--file", output, "--output=cat"]).stdout.toString())
      .toContain("from inside");
  }
  writeFileSync(folder.join("unused"), "");
  await expect(receiveJournal(folder.join("unused/below"), socketPath, undefined)).rejects.toThrow("ENOTDIR");
});

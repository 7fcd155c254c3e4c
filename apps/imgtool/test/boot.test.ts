/**
 * The examples that boot, booted: from the firmware on, through boot loader, unified kernel image and
 * initrd, into the system itself.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, cpSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { driveConsole, type Guest } from "@imgtool/machine";
import { needPrograms, needRoot, temporaryFolder, tryRun, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { checkout, imgtool } from "./cli.ts";

interface Partition {
  readonly type: string;
  readonly offset: number;
}

const local = `
[Content]
RootPassword=secret
[Build]
PackageCacheDirectory=${join(tmpdir(), "imgtool-test-packages")}
[Runtime]
Ephemeral=yes
RAM=1G
CPUs=2
Console=interactive
`;

function needs(context: TestContext): void {
  needRoot(context);
  needPrograms(context, "mmdebstrap", "bwrap", "apt-get", "depmod", "qemu-system-x86_64");
  if (tryRun("apt-cache", ["policy", "linux-image-cloud-amd64"]).status !== 0)
    context.skip("needs an archive of packages");
}

/** Builds an example; returns the image and its partitions. */
function buildExample(folder: TemporaryFolder, name: string): { image: string; partitions: readonly Partition[] } {
  cpSync(join(checkout, "examples", name), folder.path, { recursive: true });
  writeFileSync(folder.join("mkosi.local.conf"), local);
  const built = tryRun(imgtool, ["-C", folder.path, "build"]);
  expect(built.status, built.stderr).toBe(0);
  const record = JSON.parse(readFileSync(folder.join(`${name}_1.build.json`), "utf8")) as {
    artifacts: { path: string; partitions?: readonly Partition[] }[];
  };
  const disk = record.artifacts.find(({ partitions }) => partitions !== undefined);
  return { image: folder.join(disk?.path ?? ""), partitions: disk?.partitions ?? [] };
}

/** Starts what was built. */
function boot(folder: TemporaryFolder): Guest {
  const child = spawn(imgtool, ["-C", folder.path, "vm"], { cwd: checkout, stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "close").then(([code]) => Number(code));
  return driveConsole({
    input: child.stdin,
    output: child.stdout,
    ended,
    kill: () => child.kill("SIGKILL"),
  });
}

test(
  "a disk with systemd-boot and ext4 boots into a system without a failed unit",
  { tags: ["boot"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    buildExample(folder, "bootable");
    await using guest = boot(folder);
    await guest.login("root", "secret");
    const state = await guest.run("systemctl is-system-running --wait || systemctl --failed --no-legend --plain");
    expect(state.output).toBe("running\n");
    expect((await guest.run("findmnt --noheadings --output SOURCE,FSTYPE /")).output).toMatch(/^\/dev\/vda2 +ext4\n$/);
    expect((await guest.run("cat /proc/cmdline")).output).toContain("console=ttyS0");
    const loader = await guest.run("cat /sys/firmware/efi/efivars/LoaderInfo-* | tail -c +5 | tr -d '\\000'");
    expect(loader.output).toContain("systemd-boot 252");
    const stub = await guest.run("cat /sys/firmware/efi/efivars/StubInfo-* | tail -c +5 | tr -d '\\000'");
    expect(stub.output).toContain("systemd-stub 252");
    await guest.powerOff();
  },
);

test(
  "a disk with a verity-checked root boots, and does not once a byte of it has changed",
  { tags: ["boot"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    const { image, partitions } = buildExample(folder, "verity");
    {
      await using guest = boot(folder);
      await guest.login("root", "secret");
      const status = await guest.run("veritysetup status root");
      expect(status.output).toMatch(/status: +verified/);
      expect(status.output).toMatch(/data device: +\/dev\/vda2/);
      expect((await guest.run("findmnt --noheadings --output FSTYPE /")).output).toBe("overlay\n");
      const state = await guest.run("systemctl is-system-running --wait || systemctl --failed --no-legend --plain");
      expect(state.output).toBe("running\n");
      await guest.powerOff();
    }
    flipByte(image, (partitions.find(({ type }) => type === "root-x86-64")?.offset ?? 0) + 1024);
    await using guest = boot(folder);
    await guest.waitFor(/verity: .*is corrupted/);
  },
);

function flipByte(path: string, offset: number): void {
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  byte.writeUInt8(byte.readUInt8(0) ^ 1);
  writeSync(file, byte, 0, 1, offset);
  closeSync(file);
}

/**
 * A Debian image, run in every way that there is: a shell, a container, a virtual machine.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { driveConsole } from "@imgtool/machine";
import { needPrograms, needRoot, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { checkout, imgtool } from "./cli.ts";

const configuration = `
[Distribution]
Distribution=debian
Release=bookworm
[Output]
Format=directory
Output=thing
[Content]
Bootable=yes
Bootloader=none
Packages=dbus,kmod,linux-image-cloud-amd64,login,systemd-sysv,udev
WithDocs=no
RootPassword=secret
[Build]
PackageCacheDirectory=${join(tmpdir(), "imgtool-test-packages")}
[Runtime]
Ephemeral=yes
RAM=1G
CPUs=2
Console=interactive
Credentials="imgtool.test=from the project"
`;

test(
  "an image runs in a container and in a virtual machine, and ends with its status",
  { tags: ["boot"] },
  async (context) => {
    needRoot(context);
    needPrograms(context, "mmdebstrap", "bwrap", "apt-get", "qemu-system-x86_64", "systemd-nspawn");
    if (tryRun("apt-cache", ["policy", "linux-image-cloud-amd64"]).status !== 0)
      context.skip("needs an archive of packages");
    using folder = temporaryFolder();
    writeFileSync(folder.join("mkosi.conf"), configuration);

    // The first of them builds what is not there yet.
    const shell = tryRun(imgtool, ["-C", folder.path, "shell", "sh", "-c", "cat /etc/os-release; exit 5"]);
    expect({ status: shell.status, stdout: shell.stdout.toString() }, shell.stderr).toEqual({
      status: 5,
      stdout: expect.stringContaining("VERSION_CODENAME=bookworm") as unknown,
    });

    const container = tryRun(imgtool, ["-C", folder.path, "boot", "--", "systemd.run=/bin/false"]);
    expect(container.status, container.stdout.toString() + container.stderr).toBe(1);
    expect(container.stdout.toString()).toContain("Exit the Container");

    const child = spawn(imgtool, ["-C", folder.path, "vm", "--", "-rtc", "base=2030-01-01"], {
      cwd: checkout,
      stdio: ["pipe", "pipe", "pipe"],
    });
    let messages = "";
    child.stderr.on("data", (bytes: Buffer) => (messages += bytes.toString()));
    const ended = once(child, "close").then(([code]) => Number(code));
    await using guest = driveConsole({
      input: child.stdin,
      output: child.stdout,
      ended,
      kill: () => child.kill("SIGKILL"),
    });
    await guest.login("root", "secret");
    expect(await guest.run("cat /run/credentials/@system/imgtool.test")).toEqual({
      exitCode: 0,
      output: "from the project",
    });
    expect(await guest.run("systemctl is-system-running --wait")).toEqual({ exitCode: 0, output: "running\n" });
    // The argument after -- reached QEMU.
    expect((await guest.run("date +%Y")).output).toBe("2030\n");
    expect((await guest.run("findmnt --noheadings --output SOURCE,FSTYPE /")).output).toMatch(/^\/dev\/vda1 +ext4\n$/);
    expect(await guest.run("false")).toEqual({ exitCode: 1, output: "" });
    await guest.run("echo 42 >/dev/virtio-ports/io.imgtool.exit-status");
    expect(await guest.powerOff(), messages).toBe(42);
  },
);

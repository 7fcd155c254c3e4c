/**
 * A Debian image, run in every way that there is: a shell, a container, a virtual machine.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { driveConsole } from "@imgtool/machine";
import { needPrograms, needRoot, temporaryFolder, testCertificate, testKey, tryRun } from "@imgtool/testkit";
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
RuntimeTrees=shared
RuntimeSize=9G
Drives=extra:64M
TPM=yes
`;

test(
  "an image runs in a container and in a virtual machine, and ends with its status",
  { tags: ["boot"] },
  async (context) => {
    needRoot(context);
    needPrograms(context, "mmdebstrap", "bwrap", "apt-get", "qemu-system-x86_64", "systemd-nspawn", "swtpm");
    if (tryRun("apt-cache", ["policy", "linux-image-cloud-amd64"]).status !== 0)
      context.skip("needs an archive of packages");
    using folder = temporaryFolder();
    writeFileSync(folder.join("mkosi.conf"), configuration);
    writeFileSync(folder.join("mkosi.key"), testKey, { mode: 0o600 });
    writeFileSync(folder.join("mkosi.crt"), testCertificate);
    mkdirSync(folder.join("shared"));
    writeFileSync(folder.join("shared/hello"), "from this machine\n");

    // The first of them builds what is not there yet.
    const shell = tryRun(imgtool, [
      "-C",
      folder.path,
      "shell",
      "sh",
      "-c",
      "cat /etc/os-release /root/src/hello; exit 5",
    ]);
    expect({ status: shell.status, stdout: shell.stdout.toString() }, shell.stderr).toEqual({
      status: 5,
      stdout: expect.stringMatching(/VERSION_CODENAME=bookworm[^]*from this machine\r?\n$/) as unknown,
    });

    const container = tryRun(imgtool, ["-C", folder.path, "boot", "--", "systemd.run=/bin/false"]);
    expect(container.status, container.stdout.toString() + container.stderr).toBe(1);
    expect(container.stdout.toString()).toContain("Exit the Container");

    mkdirSync(folder.join("temporary"));
    const child = spawn(imgtool, ["-C", folder.path, "vm", "--", "-rtc", "base=2030-01-01"], {
      cwd: checkout,
      env: { ...process.env, TMPDIR: folder.join("temporary"), XDG_RUNTIME_DIR: folder.path },
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
    // If imgtool were killed now, no credential would stay.
    const files = readdirSync(folder.join("temporary"), { recursive: true, encoding: "utf8" });
    expect(files.filter((name) => name.includes("credential"))).toEqual([]);
    expect(files).toContainEqual(expect.stringMatching(/^imgtool-vm-\w+$/));
    expect(await guest.run("systemctl is-system-running --wait")).toEqual({ exitCode: 0, output: "running\n" });
    // The argument after -- reached QEMU.
    expect((await guest.run("date +%Y")).output).toBe("2030\n");
    expect((await guest.run("findmnt --noheadings --output SOURCE,FSTYPE /")).output).toMatch(/^\/dev\/vda1 +ext4\n$/);
    // A disk that grew (its partition has the size that was asked for) and a further one.
    const sizes = (await guest.run("cat /sys/block/vda/vda1/size /sys/block/vdb/size /sys/block/vdb/serial")).output;
    expect(sizes).toMatch(/^\d{8}\n131072\nextra$/);
    expect(Number.parseInt(sizes, 10)).toBeGreaterThanOrEqual(9 * 1024 ** 2 * 2);
    expect(await guest.run("false")).toEqual({ exitCode: 1, output: "" });
    await guest.run("echo 42 >/dev/virtio-ports/io.imgtool.exit-status");
    expect(await guest.powerOff(), messages).toBe(42);
  },
);

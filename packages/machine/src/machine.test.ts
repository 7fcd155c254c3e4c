import { once } from "node:events";
import { existsSync, fstatSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import type { EnvironmentError } from "@imgtool/core";
import { temporaryFolder, testCertificate } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { containerArguments, type ContainerOptions } from "./container.ts";
import { escapeCounter } from "./console.ts";
import { credentialString, passCredentials } from "./credentials.ts";
import { parseStatus, receiveStatus } from "./exit-status.ts";
import { guestCredentials } from "./guest-credentials.ts";
import { driveConsole } from "./guest.ts";
import { PassedFiles } from "./passed-files.ts";
import { forwardedPort, scopedCommand } from "./start-machine.ts";
import { chooseVsock, vsockNumber } from "./vsock.ts";

test("credentials survive as base64, in files that no folder has", () => {
  using files = new PassedFiles();
  const [file] = passCredentials({ "login.motd": "two\nlines, and ümlauts" }, files);
  expect(file).toEqual({ name: "login.motd", path: "/proc/self/fd/3" });
  const [descriptor = -1] = files.descriptors;
  const [name = "", value = ""] = readFileSync(`/proc/self/fd/${descriptor}`, "utf8").split("=", 2);
  expect(name).toBe("io.systemd.credential.binary:login.motd");
  expect(Buffer.from(value, "base64").toString()).toBe("two\nlines, and ümlauts");
  expect(fstatSync(descriptor)).toMatchObject({ nlink: 0, mode: 0o100600 });
  expect(readlinkSync(`/proc/self/fd/${descriptor}`)).toMatch(/^\/memfd:login\.motd/);
  for (const wrong of ["", "..", "a/b", "a=b", "a:b", "a b"])
    expect(() => credentialString(wrong, "")).toThrow(expect.objectContaining({ code: "credential-invalid" }) as Error);
  expect(() => credentialString("large", "x".repeat(1024 ** 2 + 1))).toThrow("1048577 bytes");
});

test("the last number that the guest sends is its status, whatever else it sends", async () => {
  using folder = temporaryFolder();
  const socketPath = folder.join("status");
  using receiver = await receiveStatus(socketPath);
  expect(receiver.status()).toBeUndefined();
  const guest = connect(socketPath);
  await once(guest, "connect");
  guest.write("x".repeat(100_000));
  guest.write("1\n");
  guest.end("42\n");
  await expect.poll(() => receiver.status()).toBe(42);
  expect(["", "256", "abc", "0", "255\n", "1\n2"].map(parseStatus)).toEqual([
    undefined,
    undefined,
    undefined,
    0,
    255,
    2,
  ]);
});

test("three quick presses of Ctrl-] end the machine, slower ones and other keys do not", () => {
  const press = Uint8Array.of(0x1d);
  const presses = escapeCounter();
  expect([0, 900, 1800, 2700].map((now) => presses(press, now))).toEqual([false, false, false, false]);
  expect(presses(Uint8Array.of(0x1d, 0x61, 0x1d), 2800)).toBe(false);
  expect(presses(Uint8Array.of(0x1d, 0x1d), 2900)).toBe(true);
});

/** A console that a test plays the guest of. */
function pretendMachine(): {
  guest: PassThrough;
  typed: PassThrough;
  end: (status: number) => void;
  machine: Parameters<typeof driveConsole>[0];
} {
  const { promise, resolve } = Promise.withResolvers<number>();
  const [output, input] = [new PassThrough(), new PassThrough()];
  return {
    guest: output,
    typed: input,
    end: resolve,
    machine: { input, output, ended: promise, kill: () => resolve(0) },
  };
}

test("the console is read by lines and by prompts, without control sequences", async () => {
  const { guest, machine } = pretendMachine();
  const lines: string[] = [];
  await using driven = driveConsole(machine, (line) => lines.push(line));
  guest.write("[\u001b[0;32m  OK  \u001b[0m] Started\r\r\nthing log");
  await driven.waitFor(/OK {2}\] Started/);
  guest.write("in: ");
  await driven.waitFor(/ login: ?$/);
  // What was waited for is not found again.
  await expect(driven.waitFor(/login/, { patience: 50 })).rejects.toMatchObject({ code: "guest-silent" });
  expect(lines).toEqual(["[  OK  ] Started"]);
});

test("a command's output and status come from between its marks, even where the console echoes", async () => {
  const { guest, typed, machine } = pretendMachine();
  await using driven = driveConsole(machine);
  typed.on("data", (bytes: Buffer) => {
    const text = bytes.toString();
    const mark = /"in (\w+)"/.exec(text)?.[1] ?? "";
    guest.write(`${text.replaceAll("\n", "\r\n")}\r\nbegin ${mark}\r\none\r\ntwo\r\nend ${mark} 7\r\n`);
  });
  expect(await driven.run("thing")).toEqual({ output: "one\ntwo\n", exitCode: 7 });
});

test("a machine that ends too early is an error with the console's last lines", async () => {
  const { guest, end, machine } = pretendMachine();
  await using driven = driveConsole(machine);
  guest.write("Kernel panic\r\n");
  await driven.waitFor(/panic/);
  end(3);
  await expect(driven.waitFor(/login:/)).rejects.toMatchObject({
    code: "guest-ended",
    message: expect.stringMatching(/status 3 .*\n.*Kernel panic/s) as unknown,
  });
});

test("QEMU runs in a scope where it has properties, and tells the port that it found", () => {
  expect(scopedCommand(["MemoryMax=2G", "Nice=5"], true)).toEqual([
    "systemd-run",
    "--system",
    "--scope",
    "--quiet",
    "--collect",
    "--property=MemoryMax=2G",
    "--property=Nice=5",
    "--",
    "qemu-system-x86_64",
  ]);
  expect(scopedCommand(["Nice=5"], false)).toContain("--user");
  const line = "  TCP[HOST_FORWARD]  12       127.0.0.1 41035       10.0.2.15    22     0     0\r\n";
  expect(forwardedPort(`Hub 0 (#net036):\r\n${line}`)).toBe(41_035);
  expect(forwardedPort("nothing")).toBeUndefined();
});

test("a guest's number for VSOCK is the same for the same image, or any, or the one asked for", async () => {
  expect(vsockNumber("hash", "/a")).toBe(vsockNumber("hash", "/a"));
  expect(vsockNumber("hash", "/a")).not.toBe(vsockNumber("hash", "/b"));
  expect(vsockNumber("auto", "/a")).toBeGreaterThan(2);
  expect(vsockNumber(77, "/a")).toBe(77);
  expect(await chooseVsock({ vsock: "disabled", vsockConnection: 77 }, "/a")).toBeUndefined();
  // Where the kernel has no vhost_vsock, that is said to who asks for it.
  const asked = chooseVsock({ vsock: "enabled", vsockConnection: 77 }, "/a").catch(
    (error: EnvironmentError) => error.code,
  );
  expect(await asked).toBe(existsSync("/dev/vhost-vsock") ? 77 : "vsock-missing");
});

test("the key of the certificate may log in, unless the project says who may", async () => {
  using folder = temporaryFolder();
  const sshCertificate = folder.join("mkosi.crt");
  writeFileSync(sshCertificate, testCertificate);
  const found = async (changes: object): Promise<string | undefined> =>
    (await guestCredentials({ credentials: {}, ssh: false, sshCertificate, ...changes }))["ssh.authorized_keys.root"];
  expect(await found({})).toMatch(/^ssh-rsa AAAA/);
  expect(await found({ credentials: { "ssh.authorized_keys.root": "mine" } })).toBe("mine");
  expect(await found({ sshCertificate: undefined })).toBeUndefined();
  await expect(found({ sshCertificate: undefined, ssh: true })).rejects.toMatchObject({
    code: "ssh-certificate-missing",
  });
});

test("a container gets the image, its credentials, and what a kernel would hand to the init", () => {
  const options: ContainerOptions = {
    image: {
      name: "my_thing",
      architecture: "x86-64",
      kind: "directory",
      path: "/out/thing",
      diskFormat: "raw",
      sectorSize: 512,
      partitions: [],
      rootHash: undefined,
      kernel: undefined,
      initrds: [],
    },
    runtime: {
      credentials: {},
      ephemeral: true,
      forwardJournal: undefined,
      register: "auto",
      runtimeBuildSources: undefined,
      runtimeHome: false,
      runtimeScratch: "disabled",
      runtimeTrees: [],
      ssh: false,
      sshCertificate: undefined,
      unitProperties: ["MemoryMax=1G"],
      kernelCommandLine: ["quiet", "a-b=c"],
      kernelCommandLineExtra: ["systemd.unit=rescue.target"],
      machine: undefined,
      nspawnSettings: undefined,
      runtimeNetwork: "none",
    },
    mode: "boot",
    command: ["--log-level=debug"],
  };
  const host = { hasSystemd: true, credentials: [], folders: [], journalSocket: undefined };
  const credentials = [{ name: "x", path: "/run/c" }];
  expect(containerArguments(options, { ...host, hasSystemd: false, credentials })).toEqual([
    "--quiet",
    "--directory=/out/thing",
    "--link-journal=no",
    "--machine=my-thing",
    "--register=no",
    "--keep-unit",
    "--ephemeral",
    "--private-network",
    "--load-credential=x:/run/c",
    "--setenv=a_b=c",
    "--boot",
    "--",
    "quiet",
    "systemd.unit=rescue.target",
    "--log-level=debug",
  ]);
  const shell = containerArguments({ ...options, mode: "shell", command: [] }, host);
  expect(shell).not.toContain("--boot");
  expect(shell).not.toContain("--");
  expect(shell).toContain("--property=MemoryMax=1G");
  expect(shell.some((argument) => argument.startsWith("--register"))).toBe(false);
  const full = containerArguments(
    { ...options, runtime: { ...options.runtime, register: "disabled" } },
    {
      ...host,
      folders: [
        { source: "/home/me/a:b", target: "/root/src", owner: 1000 },
        { source: "/root/c", target: "/work/src", owner: 0 },
      ],
      journalSocket: "/run/j",
    },
  );
  expect(full).toContain("--register=no");
  expect(full.filter((argument) => argument.startsWith("--bind="))).toEqual([
    String.raw`--bind=/home/me/a\:b:/root/src:norbind,rootidmap`,
    "--bind=/root/c:/work/src:norbind,noidmap",
    "--bind=/run/j:/run/host/journal/socket",
  ]);
});

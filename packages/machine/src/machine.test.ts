import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { containerArguments, type ContainerOptions } from "./container.ts";
import { escapeCounter } from "./console.ts";
import { credentialString, writeCredentials } from "./credentials.ts";
import { parseStatus, receiveStatus } from "./exit-status.ts";
import { driveConsole } from "./guest.ts";

test("credentials survive as base64, in files that only the owner reads", async () => {
  using folder = temporaryFolder();
  const [file] = await writeCredentials({ "login.motd": "two\nlines, and ümlauts" }, folder.path);
  const [name = "", value = ""] = readFileSync(file?.path ?? "", "utf8").split("=", 2);
  expect(name).toBe("io.systemd.credential.binary:login.motd");
  expect(Buffer.from(value, "base64").toString()).toBe("two\nlines, and ümlauts");
  expect(statSync(file?.path ?? "").mode & 0o777).toBe(0o600);
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
      kernelCommandLine: ["quiet", "a-b=c"],
      kernelCommandLineExtra: ["systemd.unit=rescue.target"],
      machine: undefined,
      nspawnSettings: undefined,
      runtimeNetwork: "none",
    },
    mode: "boot",
    command: ["--log-level=debug"],
  };
  const credentials = [{ name: "x", path: "/run/c" }];
  expect(containerArguments(options, { hasSystemd: false, credentials })).toEqual([
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
  const shell = containerArguments({ ...options, mode: "shell", command: [] }, { hasSystemd: true, credentials: [] });
  expect(shell).not.toContain("--boot");
  expect(shell).not.toContain("--");
});

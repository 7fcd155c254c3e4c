/** casync's remote protocol between programs: a real casync on either side, imgtool on both, and a real ssh. */
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { userInfo } from "node:os";
import {
  findProgram,
  needPrograms,
  needRoot,
  randomBytes,
  run,
  type TemporaryFolder,
  temporaryFolder,
  tryRun,
} from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli, type CliRun, expectError, imgtool } from "./cli.ts";

/** A program in the place of ssh that runs the command on this machine. */
function fakeSsh(folder: TemporaryFolder): string {
  const path = folder.join("fake-ssh");
  writeFileSync(path, '#!/bin/sh\nshift\nexec sh -c "$*"\n', { mode: 0o755 });
  return path;
}

/** A blob with chunks that occur twice, and a tree. */
function makeInput(folder: TemporaryFolder): { blob: string; tree: string } {
  const [blob, tree] = [folder.join("blob"), folder.join("tree")];
  const part = randomBytes(1_500_000, "remote blob");
  writeFileSync(blob, Buffer.concat([part, new Uint8Array(1_500_000), part, new Uint8Array(700_000)]));
  mkdirSync(folder.join("tree", "sub"), { recursive: true });
  copyFileSync(blob, folder.join("tree", "sub", "file"));
  writeFileSync(folder.join("tree", "small"), "small\n");
  symlinkSync("small", folder.join("tree", "link"));
  return { blob, tree };
}

type Program = (args: readonly string[]) => CliRun;

/**
 * Everything that goes over ssh, with one program here and another one at the other end; returns what
 * comes of an index that is not there.
 */
function checkBothWays(folder: TemporaryFolder, here: Program, host: string): CliRun {
  const { blob, tree } = makeInput(folder);
  const far = folder.join("far");
  mkdirSync(far);
  const ok = (args: readonly string[]): string => {
    const result = here(args);
    expect([args, result.exitCode, result.stderr]).toEqual([args, 0, result.stderr]);
    return result.stdout;
  };
  const digest = run("casync", ["digest", tree]);
  expect(ok(["make", `${host}:${far}/x.caibx`, blob])).toBe(run("casync", ["digest", blob]));
  expect(ok(["make", `${host}:${far}/t.caidx`, tree])).toBe(digest);
  expect(ok(["make", `${host}:${far}/t.catar`, tree])).toBe(digest);
  // What is there now is what casync makes here.
  for (const [name, source] of [
    ["x.caibx", blob],
    ["t.caidx", tree],
    ["t.catar", tree],
  ] as const) {
    run("casync", ["make", folder.join(name), source]);
    expect(Buffer.compare(readFileSync(folder.join("far", name)), readFileSync(folder.join(name)))).toBe(0);
  }
  ok(["extract", `${host}:${far}/x.caibx`, folder.join("blob.out")]);
  expect(Buffer.compare(readFileSync(folder.join("blob.out")), readFileSync(blob))).toBe(0);
  for (const name of ["t.caidx", "t.catar"]) {
    const target = folder.join(`${name}.out`);
    ok(["extract", `${host}:${far}/${name}`, target]);
    expect(run("casync", ["digest", target])).toBe(digest);
  }
  expect(ok(["list", `${host}:${far}/t.catar`])).toBe(run("casync", ["list", tree]));
  expect(ok(["digest", `${host}:${far}/t.caidx`])).toBe(digest);
  // A second version: the far store has most of it.
  writeFileSync(blob, Buffer.concat([readFileSync(blob), randomBytes(300_000, "second version")]));
  ok(["make", `${host}:${far}/y.caibx`, blob]);
  ok(["extract", `--store=${host}:${far}/default.castr`, `${host}:${far}/y.caibx`, folder.join("y.out")]);
  expect(Buffer.compare(readFileSync(folder.join("y.out")), readFileSync(blob))).toBe(0);
  return here(["extract", `${host}:${far}/none.caibx`, folder.join("none")]);
}

function program(path: string, env: Readonly<Record<string, string>>): Program {
  return ([verb = "", ...rest]) => {
    // casync prints the digest of what it makes, imgtool when it is asked to.
    const args = [verb, ...(verb === "make" && path === imgtool ? ["--content-digest=yes"] : []), ...rest];
    const { status, stdout, stderr } = tryRun(path, args, { env });
    return { exitCode: status, stdout: stdout.toString("utf8"), stderr };
  };
}

test.for([
  ["imgtool", "casync"],
  ["casync", "imgtool"],
  ["imgtool", "imgtool"],
] as const)("%s here and %s at the other end", { tags: ["system"] }, ([here, there], context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const path = { casync: "casync", imgtool };
  const env = { CASYNC_SSH_PATH: fakeSsh(folder), CASYNC_REMOTE_PATH: path[there], TMPDIR: folder.path };
  const missing = checkBothWays(folder, program(path[here], env), "host");
  expect(missing.exitCode).not.toBe(0);
});

test("what cannot be done over ssh is refused before anything is done", { tags: ["system"] }, () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("blob"), "blob");
  const env = { CASYNC_SSH_PATH: fakeSsh(folder), CASYNC_REMOTE_PATH: imgtool };
  const options = { cwd: folder.path, env };
  expectError(cli(["make", "--store=host:s", "x.caibx", "blob"], options), 2, "on another machine");
  expectError(cli(["make", "--store=other:s", "host:x.caibx", "blob"], options), 2, "its store on other");
  expectError(cli(["extract", "ssh://-oProxyCommand=id/x.caibx", "out"], options), 2, "not a location");
  expectError(cli(["gc", "--store=host:s", `host:${folder.join("x.caibx")}`], options), 4, "there is no index");
  expectError(cli(["pull", "-", "-", "-", "-"], options), 2, "neither an archive");
  expectError(cli(["push", "base", "-", "x", "-"], options), 2, "BASE must be -");
  // The index alone goes there, the chunks stay here.
  const target = folder.join("x.caibx");
  expect(cli(["make", "--store=local.castr", `host:${target}`, "blob"], options).exitCode).toBe(0);
  expect(cli(["verify", "--store=local.castr", `host:${target}`], options).exitCode).toBe(0);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket
      .once("data", () => resolve(true))
      .once("error", () => resolve(false))
      .once("close", () => resolve(false));
    socket.once("data", () => socket.destroy());
  });
}

/** An sshd with keys of its own; disposing ends it. */
async function startSshd(folder: TemporaryFolder): Promise<AsyncDisposable & { port: number }> {
  for (const key of ["host-key", "user-key", "other-key"])
    run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", folder.join(key)]);
  copyFileSync(folder.join("user-key.pub"), folder.join("authorized"));
  const port = await freePort();
  mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const settings = [
    `ListenAddress 127.0.0.1:${port}`,
    `HostKey ${folder.join("host-key")}`,
    `AuthorizedKeysFile ${folder.join("authorized")}`,
    `PidFile ${folder.join("sshd.pid")}`,
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "PermitRootLogin yes",
    "Subsystem sftp internal-sftp",
  ];
  writeFileSync(folder.join("sshd-config"), `${settings.join("\n")}\n`);
  const child = spawn(findProgram("sshd") ?? "sshd", ["-D", "-e", "-f", folder.join("sshd-config")], {
    stdio: "ignore",
  });
  await expect.poll(() => accepts(port)).toBe(true);
  return {
    port,
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill();
      await ended;
    },
  };
}

test("through a real ssh, which checks the host's key", { tags: ["system"] }, async (context) => {
  needPrograms(context, "casync", "ssh", "ssh-keygen", "sshd");
  needRoot(context);
  using folder = temporaryFolder();
  await using sshd = await startSshd(folder);
  const known = (key: string): void => {
    const [type, value] = readFileSync(folder.join(`${key}.pub`), "utf8").split(" ");
    writeFileSync(folder.join("known"), `[127.0.0.1]:${sshd.port} ${type} ${value}\n`);
  };
  const options = [
    `UserKnownHostsFile=${folder.join("known")}`,
    "GlobalKnownHostsFile=/dev/null",
    `IdentityFile=${folder.join("user-key")}`,
    "IdentitiesOnly=yes",
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
  ];
  const ssh = folder.join("ssh");
  writeFileSync(ssh, `#!/bin/sh\nexec ssh -F /dev/null ${options.map((option) => `-o '${option}'`).join(" ")} "$@"\n`, {
    mode: 0o755,
  });
  const env = { CASYNC_SSH_PATH: ssh, CASYNC_REMOTE_PATH: imgtool, TMPDIR: folder.path };
  const { blob } = makeInput(folder);
  // A path that the far shell would take apart.
  const far = folder.join("it's far & $away");
  mkdirSync(far);
  const base = `ssh://${userInfo().username}@127.0.0.1:${sshd.port}${encodeURI(far).replace("&", "%26")}`;
  known("host-key");
  expect(cli(["make", "--content-digest=yes", `${base}/x.caibx`, blob], { env }).stdout).toBe(
    run("casync", ["digest", blob]),
  );
  expect(cli(["extract", `${base}/x.caibx`, folder.join("out")], { env }).exitCode).toBe(0);
  expect(Buffer.compare(readFileSync(folder.join("out")), readFileSync(blob))).toBe(0);
  expect(cli(["verify", `${base}/x.caibx`], { env }).exitCode).toBe(0);
  const casyncThere = { ...env, CASYNC_REMOTE_PATH: "casync" };
  expect(cli(["digest", `${base}/x.caibx`], { env: casyncThere }).stdout).toBe(run("casync", ["digest", blob]));
  // The same machine through its sftp server alone: no program of ours is started there.
  const sftp = base.replace("ssh://", "sftp://");
  const without = { ...env, CASYNC_REMOTE_PATH: "/nonexistent" };
  const store = `--store=${sftp}/sftp.castr`;
  const made = cli(["make", "--json", store, folder.join("y.caibx"), blob], { env: without });
  expect(made.exitCode, made.stderr).toBe(0);
  expect(cli(["make", "--json", store, folder.join("y.caibx"), blob], { env: without }).stdout).toContain(
    '"newChunks":0',
  );
  // An index, too; its store is beside it unless another is named.
  const there = cli(["make", "--json", store, `${sftp}/y.caibx`, blob], { env: without });
  expect(there.exitCode, there.stderr).toBe(0);
  expect(readFileSync(`${far}/y.caibx`).equals(readFileSync(folder.join("y.caibx")))).toBe(true);
  expectError(cli(["make", `${sftp}/y.catar`, far], { env: without }), 2, "storage service");
  expect(cli(["verify", `${sftp}/sftp.castr`], { env: without }).exitCode).toBe(0);
  const extracted = cli(["extract", store, `${sftp}/y.caibx`, folder.join("sftp.out")], { env: without });
  expect(extracted.exitCode, extracted.stderr).toBe(0);
  expect(Buffer.compare(readFileSync(folder.join("sftp.out")), readFileSync(blob))).toBe(0);
  expect(cli(["gc", "--grace-period=3h", store, `${sftp}/y.caibx`], { env: without }).exitCode).toBe(0);
  expectError(cli(["extract", `${sftp}/none.caibx`, folder.join("none")], { env: without }), 4, "none.caibx");
  known("other-key");
  expectError(cli(["extract", `${sftp}/y.caibx`, folder.join("none")], { env }), 8, "Host key verification failed");
  expectError(cli(["digest", `${base}/x.caibx`], { env }), 8, "Host key verification failed");
});

test("a link that stalls ends in an error of the network", { tags: ["system"] }, () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("blob"), randomBytes(200_000, "stalls"));
  expect(cli(["make", "x.caibx", "blob"], { cwd: folder.path }).exitCode).toBe(0);
  writeFileSync(folder.join("stalled"), "#!/bin/sh\nexec sleep 100\n", { mode: 0o755 });
  const options = { cwd: folder.path, env: { CASYNC_SSH_PATH: folder.join("stalled"), XDG_CONFIG_HOME: folder.path } };
  const message = "host has said nothing for 0.5 s: expected its greeting";
  const extract = ["extract", "--timeout=0.5"];
  expectError(cli([...extract, "--store=sftp://host/s", "x.caibx", "out"], options), 8, message);
  expectError(cli([...extract, "--store=host:/s", "x.caibx", "out"], options), 8, message);
  expectError(cli([...extract, "sftp://host/x.caibx", "out"], options), 8, message);
  expectError(cli([...extract, "host:/x.caibx", "out"], options), 8, message);
  expectError(cli([...extract, "host:/x.catar", "out"], options), 8, message);
  mkdirSync(folder.join("imgtool"));
  writeFileSync(folder.join("imgtool/stores.conf"), "[Store sftp://host/*]\nTimeout=0.5\n");
  expectError(cli(["extract", "--store=sftp://host/s", "x.caibx", "out"], options), 8, message);
});

test("a link that breaks amid a message is an error of the network on both sides", { tags: ["system"] }, () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("blob"), randomBytes(300_000, "breaks"));
  expect(cli(["make", "x.caibx", "blob"], { cwd: folder.path }).exitCode).toBe(0);
  const ssh = folder.join("ssh");
  const options = { cwd: folder.path, env: { CASYNC_SSH_PATH: ssh, CASYNC_REMOTE_PATH: imgtool } };
  // The greeting, and what comes behind it up to its hundredth byte.
  const cut = "{ dd bs=24 count=1; dd bs=100 count=1; } 2>/dev/null";
  const hello = "dd bs=24 count=1 2>/dev/null";
  const breaks = (command: string): void => writeFileSync(ssh, `#!/bin/sh\nshift\n${command}\n`, { mode: 0o755 });
  breaks(`${hello} | sh -c "$*" 2>/dev/null | ${cut}`);
  expectError(cli(["extract", `host:${folder.join("x.caibx")}`, "out"], options), 8, "amid a message");
  breaks(`${hello} | sh -c "$*" 2>/dev/null | ${cut}; echo gone >&2; exit 255`);
  expectError(cli(["extract", `host:${folder.join("x.caibx")}`, "out"], options), 8, "cannot reach host", "gone");
  // The far side of a push, whose client goes away.
  breaks(`${cut} | { sh -c "$*" 2>${folder.join("said")}; echo $? >${folder.join("status")}; }`);
  expect(cli(["make", `host:${folder.join("y.caibx")}`, "blob"], options).exitCode).not.toBe(0);
  expect(readFileSync(folder.join("status"), "utf8")).toBe("8\n");
  expect(readFileSync(folder.join("said"), "utf8")).toContain("amid a message");
  breaks("echo Welcome to this machine, where a shell says something");
  expectError(cli(["extract", `host:${folder.join("x.caibx")}`, "out"], options), 3, "does not speak");
});

function runProgram(path: string, args: readonly string[], env: Readonly<Record<string, string>>): CliRun {
  const { status, stdout, stderr } = tryRun(path, args, { env });
  return { exitCode: status, stdout: stdout.toString("utf8"), stderr };
}

test(
  "casync's limit of the rate is kept at the other end, and imgtool's over ssh and sftp",
  { tags: ["system"] },
  (context) => {
    needPrograms(context, "casync");
    using folder = temporaryFolder();
    // 900 kB at 250 kB/s are 3.6 seconds less the beginning; without a limit it is one or two.
    writeFileSync(folder.join("blob"), randomBytes(900_000, "rate"));
    run("casync", ["make", folder.join("x.caibx"), folder.join("blob")]);
    for (const name of ["far", "far2"]) mkdirSync(folder.join(name));
    const sftp = folder.join("sftp");
    writeFileSync(sftp, "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n", { mode: 0o755 });
    const env = { CASYNC_SSH_PATH: fakeSsh(folder), CASYNC_REMOTE_PATH: imgtool, TMPDIR: folder.path };
    const limit = "--rate-limit-bps=250000";
    let count = 0;
    const timed = (path: string, args: readonly string[], ssh = env.CASYNC_SSH_PATH): void => {
      const before = performance.now();
      const { exitCode, stderr } = runProgram(path, args, { ...env, CASYNC_SSH_PATH: ssh });
      expect([args, exitCode, stderr]).toEqual([args, 0, stderr]);
      expect([args, performance.now() - before > 3200]).toEqual([args, true]);
    };
    const out = (): string => folder.join(`out${count++}`);
    const host = `host:${folder.path}`;
    timed("casync", [limit, "extract", `${host}/x.caibx`, out()]);
    timed("casync", [limit, "make", `${host}/far/y.caibx`, folder.join("blob")]);
    timed(imgtool, ["extract", limit, `${host}/x.caibx`, out()]);
    timed(imgtool, ["make", limit, `${host}/far2/z.caibx`, folder.join("blob")]);
    const url = `sftp://host${folder.path}`;
    timed(imgtool, ["extract", limit, `${url}/x.caibx`, out()], sftp);
    timed(imgtool, ["verify", limit, `${url}/x.caibx`], sftp);
    timed(imgtool, ["make", limit, `--store=${url}/up`, folder.join("w.caibx"), folder.join("blob")], sftp);
    for (let i = 0; i < count; i++)
      expect(readFileSync(folder.join(`out${i}`)).equals(readFileSync(folder.join("blob")))).toBe(true);
  },
);

/**
 * Runs a project's script on an image's tree: beside it, with the host's programs, or inside it.
 *
 * The script gets mount, process, IPC and host name namespaces of its own and, unless it may use the
 * network, an empty network namespace. Of the host it sees /usr and a few files of /etc, read-only.
 * /work is a scratch file system; what the script is given is mounted there.
 * @module
 */
import { access, constants, lstat, mkdtemp, readlink, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { ConfigError, errorMessage, ImgtoolError, ProcessError, systemErrorCode } from "@imgtool/core";
import { pathExists, type RunToolOptions, type ToolResult } from "@imgtool/host";
import { containerManager, helperPrograms, insideEnvironment, systemPath } from "./helpers.ts";
import { commonArguments, runBubblewrap } from "./isolate.ts";
import type { Overlay } from "./overlay.ts";
import { resolveInTree } from "./tree-path.ts";
import { isRoot } from "./user-namespace.ts";

export interface Bind {
  /** Path on this machine. */
  readonly source: string;
  /** Path in the sandbox, absolute. */
  readonly target: string;
  readonly writable?: boolean;
}

export interface SandboxOptions {
  /** The program on this machine; it is mounted in /work and run there. */
  readonly script: string;
  /** Its name in /work. Default: the name that it has. */
  readonly scriptName?: string;
  /** Made before all else, for this sandbox alone: `tree` and `binds` may begin with them. */
  readonly overlays?: readonly Overlay[];
  readonly args?: readonly string[];
  /** The image's tree. A script without one gets no helpers that act on it either. */
  readonly tree?: string | undefined;
  /** Runs in the image, with the image's programs, instead of beside it. Default false. */
  readonly inside?: boolean;
  readonly binds?: readonly Bind[];
  /** Further helpers by name, as shell scripts, for a script beside the tree. */
  readonly helpers?: Readonly<Record<string, string>>;
  /** Folders of this machine with programs that a script beside the tree finds before others. */
  readonly searchPaths?: readonly string[];
  /** The whole environment besides PATH, HOME, LC_ALL and TZ; and $container in the image. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default false. */
  readonly network?: boolean;
  /** Working directory in the sandbox. Default /work. */
  readonly workdir?: string;
  /** For its standard input. */
  readonly input?: string;
  readonly signal?: AbortSignal | undefined;
  /** Called with each line of standard output and standard error. */
  readonly onOutputLine?: (line: string) => void;
  /**
   * Called when the script has failed, while everything that it saw is there still: `openShell` runs a shell
   * on this process's terminal in the same sandbox, to its end.
   */
  readonly onFailure?: (error: unknown, openShell: () => Promise<void>) => Promise<void>;
  /** What to do when the script fails, where nothing better is known. */
  readonly failureHint?: string;
  /** Called with the lines of standard output in the place of `onOutputLine`. */
  readonly onStdoutLine?: (line: string) => void;
}

const tailLines = 20;

/** Where the tree is mounted for a script that runs beside it. */
export const buildroot = "/buildroot";

const helperFolder = "/run/imgtool/bin";

/**
 * Runs a script to its end.
 * @throws ConfigError `script-not-executable`, ProcessError `script-failed` with the script, its exit
 *   status and its last lines; AbortedError when the signal fires: everything it started is killed
 */
export async function runInSandbox(options: SandboxOptions): Promise<void> {
  const { script, tree, inside = false, signal } = options;
  const name = options.scriptName ?? basename(script);
  await requireExecutable(script);

  if (inside && tree === undefined) throw new RangeError(`${script} runs in an image, but there is none`);
  const mountPoints = inside ? ["proc", "dev", "run", "tmp", "work"] : [];
  const absent = tree === undefined ? [] : await absentIn(tree, mountPoints);
  const workdir = options.workdir ?? "/work";
  const network = options.network === true;
  const searchPaths = inside ? [] : (options.searchPaths ?? []);
  const resolver = inside && tree !== undefined && network ? await findResolver(tree) : undefined;
  const helpers = await mkdtemp(join(tmpdir(), "imgtool-helpers-"));
  const tail: string[] = [];
  const onLine = (line: string): void => {
    tail.push(line);
    if (tail.length > tailLines) tail.shift();
    options.onOutputLine?.(line);
  };
  try {
    for (const [helper, text] of Object.entries({ ...helperPrograms({ network, workdir }), ...options.helpers }))
      await writeFile(join(helpers, helper), text, { mode: 0o755 });
    const manager = join(helpers, "container-manager");
    await writeFile(manager, containerManager.text, { mode: 0o644 });
    const root =
      inside && tree !== undefined
        ? [...insideArguments(tree), "--dir", "/run/user/0", "--ro-bind", manager, containerManager.path]
        : await outsideArguments(tree, helpers);
    const args = [
      ...commonArguments,
      // Whoever is not root may not make the other namespaces outside of one for users.
      ...(isRoot() ? [] : ["--unshare-user"]),
      ...(network ? [] : ["--unshare-net"]),
      ...root,
      ...(resolver === undefined ? [] : ["--ro-bind-try", "/etc/resolv.conf", resolver.target]),
      ...searchPaths.flatMap((path) => ["--ro-bind-try", path, path]),
      "--tmpfs",
      "/work",
      ...(options.binds ?? []).flatMap((bind) => [
        bind.writable === true ? "--bind" : "--ro-bind",
        bind.source,
        bind.target,
      ]),
      "--ro-bind",
      script,
      `/work/${name}`,
      "--chdir",
      workdir,
      "--hostname",
      "localhost",
      "--",
    ];
    const env = {
      HOME: "/root",
      PATH: inside ? systemPath : [helperFolder, ...searchPaths, systemPath].join(":"),
      ...options.env,
      ...(inside ? insideEnvironment : {}),
    };
    const overlays = options.overlays ?? [];
    const openShell = async (): Promise<void> => {
      const term = process.env["TERM"];
      // Without a session of its own it can control the terminal's jobs.
      await runBubblewrap([...args.filter((word) => word !== "--new-session"), "sh", "-i"], {
        overlays,
        env: { ...env, ...(term === undefined ? {} : { TERM: term }) },
        interactive: true,
        // Its status is that of the last command that was tried in it.
        success: Array.from({ length: 256 }, (_, code) => code),
      });
    };
    await runBubblewrap([...args, `/work/${name}`, ...(options.args ?? [])], {
      overlays,
      env,
      signal,
      ...(options.input === undefined ? {} : { input: options.input }),
      onStdoutLine: options.onStdoutLine ?? onLine,
      onStderrLine: onLine,
    }).catch(async (error: unknown) => {
      if (error instanceof ProcessError) await options.onFailure?.(scriptError(error, options, tail), openShell);
      throw error;
    });
  } catch (error) {
    throw scriptError(error, options, tail);
  } finally {
    await rm(helpers, { recursive: true, force: true });
    if (tree !== undefined) await removeMountPoints(tree, absent);
    if (resolver?.isNew === true) await rm(resolver.place, { force: true });
  }
}

/**
 * Runs a program of the image in it: as root of the tree, in namespaces of its own, without a network, with
 * /proc, /dev, /run and /tmp of its own.
 * @throws what runTool throws
 */
export async function runInTree(
  tree: string,
  program: string,
  args: readonly string[],
  options: Pick<RunToolOptions, "env" | "signal" | "success" | "onStdoutLine" | "onStderrLine"> = {},
): Promise<ToolResult> {
  const absent = await absentIn(tree, ["proc", "dev", "run", "tmp"]);
  try {
    const words = [...commonArguments, "--unshare-net", ...insideArguments(tree), "--chdir", "/"];
    return await runBubblewrap([...words, "--", program, ...args], {
      ...options,
      env: { HOME: "/root", PATH: systemPath, ...options.env },
    });
  } finally {
    await removeMountPoints(tree, absent);
  }
}

async function outsideArguments(tree: string | undefined, helpers: string): Promise<string[]> {
  const args = ["--ro-bind", "/usr", "/usr"];
  for (const folder of ["bin", "sbin", "lib", "lib32", "lib64", "libx32"])
    args.push(...(await rootFolder(`/${folder}`)));
  // What programs need to find libraries, names, certificates and the network.
  for (const file of [
    "alternatives",
    "ca-certificates",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "nsswitch.conf",
    "passwd",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
  ])
    args.push("--ro-bind-try", `/etc/${file}`, `/etc/${file}`);
  args.push("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp");
  args.push("--dir", "/root");
  if (tree !== undefined) args.push("--ro-bind", helpers, helperFolder, "--bind", tree, buildroot);
  return args;
}

/** A folder of the host's root as the host has it: a link into /usr, or a folder. */
async function rootFolder(path: string): Promise<string[]> {
  try {
    return (await lstat(path)).isSymbolicLink() ? ["--symlink", await readlink(path), path] : ["--ro-bind", path, path];
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}

function insideArguments(tree: string): string[] {
  return ["--bind", tree, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--tmpfs", "/tmp"];
}

interface Resolver {
  /** Where the image looks for its resolv.conf, in the image and on this machine. */
  readonly target: string;
  readonly place: string;
  /** bwrap makes the file to mount something there. */
  readonly isNew: boolean;
}

/** Where to mount the host's resolv.conf; undefined where a link leads to a place that is not there. */
async function findResolver(tree: string): Promise<Resolver | undefined> {
  const place = await resolveInTree(tree, "etc/resolv.conf", { followLast: true });
  const target = place.slice(tree.replace(/\/+$/, "").length);
  // /run is a scratch file system meanwhile.
  if (target.startsWith("/run/") || (await pathExists(place))) return { target, place, isNew: false };
  const isMissing = target === "/etc/resolv.conf" && (await pathExists(join(tree, "etc")));
  return isMissing ? { target, place, isNew: true } : undefined;
}

async function requireExecutable(script: string): Promise<void> {
  try {
    await access(script, constants.X_OK);
  } catch (error) {
    throw new ConfigError(
      `the script ${script} ${systemErrorCode(error) === "ENOENT" ? "is missing" : "is not executable"}`,
      {
        code: systemErrorCode(error) === "ENOENT" ? "script-not-found" : "script-not-executable",
        ...(systemErrorCode(error) === "ENOENT" ? {} : { hint: `chmod +x ${script}` }),
        data: { script },
        cause: error,
      },
    );
  }
}

function scriptError(error: unknown, options: SandboxOptions, tail: readonly string[]): unknown {
  if (!(error instanceof ProcessError)) return error;
  const { script, inside = false } = options;
  const { exitCode, signal } = error.data;
  const how = typeof signal === "string" ? `was killed by ${signal}` : `exited with ${String(exitCode)}`;
  const output = tail.join("\n");
  const noInterpreter = tail.some((line) => /^bwrap: execvp .*: No such file or directory/.test(line));
  const hint =
    noInterpreter && inside
      ? "its interpreter is not in the image: add it to Packages=, or drop .chroot from the name"
      : options.failureHint;
  return new ProcessError(`the script ${script} ${how}${output === "" ? "" : `:\n${output}`}`, {
    code: "script-failed",
    ...(hint === undefined ? {} : { hint }),
    data: { script, inside, exitCode, signal, output },
    cause: error instanceof ImgtoolError ? error : errorMessage(error),
  });
}

/** The places of those names that the tree does not have: bwrap makes them, and they are not the image's. */
async function absentIn(tree: string, names: readonly string[]): Promise<string[]> {
  const absent: string[] = [];
  for (const name of names) if (!(await pathExists(join(tree, name)))) absent.push(name);
  return absent;
}

async function removeMountPoints(tree: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    try {
      await rmdir(join(tree, name));
    } catch (error) {
      // A script that failed before bwrap mounted anything left nothing to remove.
      if (systemErrorCode(error) !== "ENOENT") throw error;
    }
  }
}

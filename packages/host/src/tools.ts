/**
 * Host tools: found, run and, when they fail, reported with their last words.
 *
 * The table is what `imgtool doctor` lists and the set-up installs from: one row per program that
 * imgtool runs, with the Debian package that brings it.
 * @module
 */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { AbortedError, EnvironmentError, ProcessError } from "@imgtool/core";
import type { ExecaError } from "execa";
import { endGroupOnAbort } from "./process-group.ts";

export interface HostTool {
  /** Debian package that holds the program. */
  readonly package: string;
  /** What imgtool runs it for. */
  readonly purpose: string;
  /** Needed for what few projects do: its absence is no fault of the machine. Default false. */
  readonly optional?: boolean;
  /** Arguments that make it tell its version. Default `--version`; none: it has no such. */
  readonly versionArguments?: readonly string[];
  /** What versions before `since` cannot do, in words that follow "cannot". */
  readonly newer?: { readonly since: string; readonly without: string };
}

/** Every host program that imgtool may run. */
export const hostTools: Readonly<Record<string, HostTool>> = {
  mmdebstrap: { package: "mmdebstrap", purpose: "install Debian and Ubuntu packages into a tree" },
  "apt-get": { package: "apt", purpose: "find and download the packages" },
  "apt-ftparchive": { package: "apt-utils", purpose: "offer the project's own packages to apt", optional: true },
  createrepo_c: {
    package: "createrepo-c",
    purpose: "offer the project's own packages to dnf and zypper",
    optional: true,
  },
  // Part of pacman-package-manager, it loads makepkg's library.
  "repo-add": { package: "makepkg", purpose: "offer the project's own packages to pacman", optional: true },
  setfiles: {
    package: "policycoreutils",
    purpose: "label files (SELinuxRelabel=)",
    optional: true,
    versionArguments: [],
  },
  bwrap: { package: "bubblewrap", purpose: "run scripts and package managers isolated from this machine" },
  mksquashfs: {
    package: "squashfs-tools",
    purpose: "make squashfs file systems",
    versionArguments: ["-version"],
    newer: { since: "4.5", without: "take a tree as an archive: no squashfs can be made" },
  },
  unsquashfs: {
    package: "squashfs-tools",
    purpose: "read a squashfs base tree without root",
    optional: true,
    versionArguments: ["-version"],
  },
  dnf: { package: "dnf", purpose: "install Fedora, CentOS Stream, Rocky, Alma and RHEL packages", optional: true },
  zypper: { package: "zypper", purpose: "install openSUSE packages", optional: true },
  pacman: { package: "pacman-package-manager", purpose: "install Arch Linux packages", optional: true },
  rpm: { package: "rpm", purpose: "import keys and set up the database of RPM packages", optional: true },
  unshare: {
    package: "util-linux",
    purpose: "build without root, in a user namespace",
    newer: { since: "2.38", without: "map ranges of user ids: nothing can be built without root" },
  },
  newuidmap: {
    package: "uidmap",
    purpose: "give a build without root the user ids of an image",
    versionArguments: [],
  },
  depmod: { package: "kmod", purpose: "list what the kernel's modules depend on" },
  modinfo: { package: "kmod", purpose: "find the firmware that kernel modules ask for" },
  // Neither is on every minimal system: both are in packages of their own that nothing essential needs.
  mount: { package: "mount", purpose: "give programs in the image its /proc and /dev" },
  "grub-mkimage": { package: "grub-common", purpose: "make GRUB's images (BiosBootloader=grub)", optional: true },
  xz: { package: "xz-utils", purpose: "compress outputs with xz and lzma" },
  bzip2: { package: "bzip2", purpose: "compress outputs with bzip2 (CompressOutput=bz2)", optional: true },
  lz4: { package: "lz4", purpose: "compress outputs with lz4", optional: true },
  git: { package: "git", purpose: "tell a checkout's sources from what git ignores", optional: true },
  gpg: { package: "gpg", purpose: "sign SHA256SUMS (Sign=yes)", optional: true },
  "qemu-img": { package: "qemu-utils", purpose: "put disks into qcow2, VMDK and VHDX files", optional: true },
  fusermount3: { package: "fuse3", purpose: "mount archives without root (imgtool mount)", optional: true },
  "nbd-client": { package: "nbd-client", purpose: "attach images to /dev/nbd0 (imgtool mkdev)", optional: true },
  "qemu-io": { package: "qemu-utils", purpose: "give a virtual machine a larger disk (imgtool vm)", optional: true },
  "qemu-system-x86_64": {
    package: "qemu-system-x86",
    purpose: "run images in a virtual machine (imgtool vm)",
    newer: { since: "8.0", without: "emulate cmpxchg16b rightly: without KVM, guests made for x86-64-v2 do not start" },
  },
  ssh: {
    package: "openssh-client",
    purpose: "log into a running image (imgtool ssh)",
    optional: true,
    versionArguments: ["-V"],
  },
  socat: {
    package: "socat",
    purpose: "reach a running image's SSH over vsock",
    optional: true,
    versionArguments: ["-V"],
  },
  swtpm: { package: "swtpm", purpose: "give virtual machines a TPM (TPM=yes)", optional: true },
  "/usr/libexec/virtiofsd": {
    package: "virtiofsd",
    purpose: "share folders with virtual machines quickly",
    optional: true,
  },
  "/lib/systemd/systemd-journal-remote": {
    package: "systemd-journal-remote",
    purpose: "receive a running image's journal (ForwardJournal=)",
    optional: true,
  },
  "systemd-nspawn": { package: "systemd-container", purpose: "boot images in a container (imgtool boot, shell)" },
};

// A user's PATH often lacks the folders where programs for root live.
const sbin: readonly string[] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** PATH as imgtool's children get it. */
export function toolPath(): string {
  const path = process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin";
  return [...new Set([...path.split(":"), ...sbin])].join(":");
}

/** The path of a program, or undefined when it is nowhere on PATH; a name with a slash is a path already. */
export async function findTool(name: string): Promise<string | undefined> {
  for (const folder of name.includes("/") ? [""] : toolPath().split(":")) {
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

/**
 * The path of a program that must be there.
 * @throws EnvironmentError `tool-missing` with the command that installs it
 */
export async function requireTool(name: string): Promise<string> {
  const path = await findTool(name);
  if (path !== undefined) return path;
  const tool = hostTools[name];
  throw new EnvironmentError(
    `the program ${name} is missing${tool === undefined ? "" : `: it is needed to ${tool.purpose}`}`,
    {
      code: "tool-missing",
      hint: tool === undefined ? `install ${name}` : `apt-get install ${tool.package}`,
      data: { tool: name, package: tool?.package },
    },
  );
}

export interface RunToolOptions {
  readonly cwd?: string;
  /** The child's whole environment besides PATH, HOME and LC_ALL; the parent's is not inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array | Readable;
  readonly signal?: AbortSignal | undefined;
  /** Called with each line of standard output as it comes; the output is then not collected. */
  readonly onStdoutLine?: (line: string) => void;
  /** Called with each line of standard error as it comes; its tail is kept for the error. */
  readonly onStderrLine?: (line: string) => void;
  /** Gives the program this process's terminal, or whatever its streams are; nothing of it is collected. */
  readonly interactive?: boolean;
  /** Exit codes that count as success. Default [0]. */
  readonly success?: readonly number[];
}

export interface ToolResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const tailLines = 20;

/**
 * Runs a host program to its end with a clean environment (LC_ALL=C.UTF-8, TZ=UTC).
 * @throws EnvironmentError `tool-missing`, ProcessError `process-failed` with the last lines of its
 *   output in `data.output`, AbortedError when the signal fires (the child is terminated first)
 */
export async function runTool(
  name: string,
  args: readonly string[],
  options: RunToolOptions = {},
): Promise<ToolResult> {
  const path = await requireTool(name);
  const tail: string[] = [];
  // Most commands run no program, and execa is a hundred modules: 0.1 s of the start (measured).
  const { execa } = await import("execa");
  const child = execa(path, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { PATH: toolPath(), HOME: process.env["HOME"] ?? "/root", LC_ALL: "C.UTF-8", TZ: "UTC", ...options.env },
    extendEnv: false,
    ...(options.interactive === true
      ? { stdio: "inherit" as const }
      : options.input === undefined
        ? { stdin: "ignore" as const }
        : { input: options.input }),
    // A group of its own, which would be in the background of a terminal.
    detached: options.interactive !== true,
    reject: false,
    stripFinalNewline: false,
    buffer: { stdout: options.onStdoutLine === undefined, stderr: options.onStderrLine === undefined },
    maxBuffer: 64 * 1024 ** 2,
  });
  endGroupOnAbort(child.nodeChildProcess, options.signal);
  const watch = async (stream: AsyncIterable<unknown>, call: (line: string) => void): Promise<void> => {
    for await (const line of stream) {
      const text = String(line);
      tail.push(text);
      if (tail.length > tailLines) tail.shift();
      call(text);
    }
  };
  const watchers: Promise<void>[] = [];
  if (options.onStdoutLine !== undefined)
    watchers.push(watch(child.iterable({ from: "stdout" }), options.onStdoutLine));
  if (options.onStderrLine !== undefined)
    watchers.push(watch(child.iterable({ from: "stderr" }), options.onStderrLine));
  const [result] = await Promise.all([child, ...watchers]);
  const exitCode = result.exitCode ?? 128;
  const failed = result.signal !== undefined || !(options.success ?? [0]).includes(exitCode);
  if (failed && options.signal?.aborted === true) throw new AbortedError(`${name} was interrupted`);
  if (failed) {
    const collected = `${result.stdout ?? ""}${result.stderr ?? ""}`.trimEnd().split("\n").slice(-tailLines);
    const output = (tail.length > 0 ? tail : collected).join("\n");
    const how = result.signal === undefined ? `exited with ${exitCode}` : `was killed by ${result.signal}`;
    throw new ProcessError(`${name} ${how}${output === "" ? "" : `\n${output}`}`, {
      data: { tool: name, args, exitCode, signal: result.signal, output },
      ...((result as Partial<ExecaError>).cause === undefined ? {} : { cause: (result as Partial<ExecaError>).cause }),
    });
  }
  return { exitCode, stdout: result.stdout ?? "", stderr: result.stderr ?? "" };
}

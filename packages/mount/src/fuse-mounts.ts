/**
 * The two ways to a mount: mount(2), for root, and fusermount3, for everybody. Either ends with a descriptor
 * of /dev/fuse on which the kernel asks.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { EnvironmentError, errorMessage, systemErrorCode } from "@imgtool/core";
import { mountFuse, receiveDescriptor, runTool, socketPair, spawnTool } from "@imgtool/host";

export interface FuseMount {
  /** Of /dev/fuse; whoever takes it closes it. */
  readonly descriptor: number;
  /** Whether others than this user see the file system. */
  readonly isShared: boolean;
  /** Ends the file system, and takes it from the tree of names where somebody is still in there. */
  unmount(): Promise<void>;
}

export interface FuseMountRequest {
  readonly target: string;
  readonly source: string;
  readonly trusted: boolean;
}

/** Mounts as whoever runs this can. @throws EnvironmentError `mount-failed`, `mount-needs-root`, `tool-missing` */
export async function openFuseMount(request: FuseMountRequest): Promise<FuseMount> {
  return process.geteuid?.() === 0 ? mountAsRoot(request) : mountAsUser(request);
}

function mountAsRoot({ target, source, trusted }: FuseMountRequest): FuseMount {
  const descriptor = openDevice();
  try {
    mountFuse({ descriptor, target, source, trusted });
  } catch (error) {
    closeSync(descriptor);
    throw systemErrorCode(error) === "EPERM" ? needsRoot("mount an archive here", error) : mountError(target, error);
  }
  const path = resolve(target);
  // By force: also where another mount namespace has a copy of the mount, which nothing here unmounts.
  return {
    descriptor,
    isShared: true,
    unmount: () => unmountWith(["umount", "--force", path], ["umount", "--lazy", path]),
  };
}

/**
 * fusermount3 opens the device, mounts, and sends the device's descriptor over the socket that it was given
 * (its protocol with libfuse: `_FUSE_COMMFD`). Others than the user are kept out: he may let them in only
 * where /etc/fuse.conf says so.
 */
async function mountAsUser({ target, source, trusted }: FuseMountRequest): Promise<FuseMount> {
  if (trusted) throw needsRoot("have device nodes and set-id bits count");
  const path = resolve(target);
  const options = `ro,nosuid,nodev,subtype=imgtool,fsname=${source.replaceAll(/[,\\]/g, String.raw`\$&`)}`;
  const [ours, theirs] = socketPair();
  try {
    const child = await spawnTool("fusermount3", ["-o", options, "--", path], {
      stdio: ["ignore", "ignore", "pipe", theirs],
      env: { _FUSE_COMMFD: "3" },
    });
    const ended = new Promise<number>((fulfil, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => fulfil(code ?? 128));
    });
    const [exitCode, words] = await Promise.all([ended, child.stderr === null ? "" : text(child.stderr)]);
    // It is in the socket before the program ends.
    const descriptor = exitCode === 0 ? receiveDescriptor(ours) : undefined;
    if (descriptor === undefined) {
      const reason = words.trim().replace(/^\S*fusermount3: /, "");
      throw mountError(target, new Error(reason === "" ? `fusermount3 exited with ${exitCode}` : reason));
    }
    const unmount = ["fusermount3", "-u", "--", path] as const;
    return {
      descriptor,
      isShared: false,
      unmount: () => unmountWith(unmount, ["fusermount3", "-u", "-z", "--", path]),
    };
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

type ToolCommand = readonly [program: string, ...args: string[]];

async function unmountWith([program, ...args]: ToolCommand, [lazily, ...more]: ToolCommand): Promise<void> {
  try {
    await runTool(program, args);
  } catch {
    await runTool(lazily, more).catch(() => {
      // somebody else has unmounted it
    });
  }
}

function openDevice(): number {
  try {
    return openSync("/dev/fuse", "r+");
  } catch (error) {
    throw new EnvironmentError(`cannot open /dev/fuse: ${errorMessage(error)}`, {
      code: "mount-failed",
      hint: "modprobe fuse, as root",
      cause: error,
    });
  }
}

function needsRoot(what: string, cause?: unknown): EnvironmentError {
  return new EnvironmentError(`only root can ${what}`, {
    code: "mount-needs-root",
    hint: "run as root, or in a user and mount namespace: unshare --user --map-root-user --mount",
    cause,
  });
}

function mountError(target: string, error: unknown): EnvironmentError {
  return new EnvironmentError(`cannot mount on ${target}: ${errorMessage(error)}`, {
    code: "mount-failed",
    hint: "name an empty directory of yours",
    data: { target },
    cause: error,
  });
}

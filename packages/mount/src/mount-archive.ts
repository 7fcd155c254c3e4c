/**
 * Mounts an archive as a file system.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { resolve } from "node:path";
import { EnvironmentError, errorMessage, systemErrorCode, throwIfAborted } from "@imgtool/core";
import { mountFuse, runTool } from "@imgtool/host";
import { FuseServer, type FuseServerOptions } from "./fuse-server.ts";

export interface MountOptions extends FuseServerOptions {
  /** An empty directory. */
  readonly target: string;
  /** What /proc/mounts calls the file system. */
  readonly source: string;
  /** Whether device nodes and set-id bits count, as in a tree that was extracted. Default false. */
  readonly trusted?: boolean;
  /** Unmounts. */
  readonly signal?: AbortSignal | undefined;
  /** Told when the file system is there. */
  readonly onMounted?: (() => void) | undefined;
}

/**
 * Mounts, and serves until the file system is unmounted, by the signal or by anybody else.
 * @throws EnvironmentError `mount-failed`, `mount-needs-root`; AbortedError when it had not begun
 */
export async function mountArchive(options: MountOptions): Promise<void> {
  const { target, source, trusted = false, signal } = options;
  throwIfAborted(signal);
  // What cannot be read at all is told before anything is mounted.
  await options.archive.root();
  const descriptor = openDevice();
  const server = new FuseServer(descriptor, options);
  try {
    mountFuse({ descriptor, target, source, trusted, allowOther: true });
  } catch (error) {
    closeSync(descriptor);
    throw mountError(target, error);
  }
  const unmount = (): void => void unmountTree(target);
  signal?.addEventListener("abort", unmount, { once: true });
  try {
    options.onMounted?.();
    await server.run();
  } finally {
    signal?.removeEventListener("abort", unmount);
  }
}

/** umount(8), and where somebody is still in there, from the tree of names at least. */
async function unmountTree(target: string): Promise<void> {
  try {
    await runTool("umount", [resolve(target)]);
  } catch {
    await runTool("umount", ["--lazy", resolve(target)]).catch(() => {
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

function mountError(target: string, error: unknown): EnvironmentError {
  if (systemErrorCode(error) === "EPERM") {
    return new EnvironmentError("only root can mount an archive", {
      code: "mount-needs-root",
      hint: "run as root, or in a user and mount namespace: unshare --user --map-root-user --mount",
      cause: error,
    });
  }
  return new EnvironmentError(`cannot mount on ${target}: ${errorMessage(error)}`, {
    code: "mount-failed",
    hint: "name an empty directory",
    data: { target },
    cause: error,
  });
}

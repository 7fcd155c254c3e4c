/**
 * Mounts an archive as a file system.
 * @module
 */
import { throwIfAborted } from "@imgtool/core";
import { openFuseMount } from "./fuse-mounts.ts";
import { FuseServer, type FuseServerOptions } from "./fuse-server.ts";

export interface MountOptions extends Omit<FuseServerOptions, "checksPermissions"> {
  /** An empty directory. */
  readonly target: string;
  /** What /proc/mounts calls the file system. */
  readonly source: string;
  /** Whether device nodes and set-id bits count, as in a tree that was extracted; root only. Default false. */
  readonly trusted?: boolean;
  /** Unmounts. */
  readonly signal?: AbortSignal | undefined;
  /** Told when the file system is there. */
  readonly onMounted?: (() => void) | undefined;
}

/**
 * Mounts, and serves until the file system is unmounted, by the signal or by anybody else. What root mounts
 * all users see, within the permissions in the archive; what another user mounts only he sees, and all of it.
 * @throws EnvironmentError `mount-failed`, `mount-needs-root`, `tool-missing`; AbortedError when it had not
 *   begun
 */
export async function mountArchive(options: MountOptions): Promise<void> {
  const { target, source, trusted = false, signal } = options;
  throwIfAborted(signal);
  // What cannot be read at all is told before anything is mounted.
  const root = await options.archive.root();
  const mount = await openFuseMount({ target, source, trusted });
  const server = new FuseServer(mount.descriptor, root, { ...options, checksPermissions: mount.isShared });
  const unmount = (): void => void mount.unmount();
  if (signal?.aborted === true) unmount();
  signal?.addEventListener("abort", unmount, { once: true });
  try {
    options.onMounted?.();
    await server.run();
  } finally {
    signal?.removeEventListener("abort", unmount);
  }
}

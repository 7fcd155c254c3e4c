/**
 * Mounts a file system that this process serves (FUSE). Unmounting is for umount(8): a thread that
 * unmounts would wait for the answers that it has to give itself.
 * @module
 */
import { systemCall, cPath } from "./libc.ts";

const callMount = systemCall(
  "mount",
  "int mount(const void *source, const void *target, const void *type, unsigned long flags, const void *data)",
);

const [readOnly, noSetUserId, noDevices] = [1, 2, 4];

export interface FuseMountOptions {
  /** Descriptor of /dev/fuse, opened for reading and writing. */
  readonly descriptor: number;
  /** Directory to mount on. */
  readonly target: string;
  /** What `mount` and /proc/mounts call it. */
  readonly source: string;
  /** Whether device nodes and set-id bits are what they say. Default false. */
  readonly trusted?: boolean;
}

/**
 * Mounts a read-only FUSE file system for all users, whose permissions the kernel checks.
 * @throws SystemCallError EPERM without privilege
 */
export function mountFuse({ descriptor, target, source, trusted = false }: FuseMountOptions): void {
  const options = [
    `fd=${descriptor}`,
    "rootmode=40000",
    `user_id=${process.getuid?.() ?? 0}`,
    `group_id=${process.getgid?.() ?? 0}`,
    "default_permissions",
    "allow_other",
  ];
  const flags = readOnly | (trusted ? 0 : noSetUserId | noDevices);
  callMount(
    target,
    cPath(source, "mount"),
    cPath(target, "mount"),
    cPath("fuse.imgtool", "mount"),
    flags,
    cPath(options.join(","), "mount"),
  );
}

/**
 * Folders laid over each other with overlayfs, in a mount namespace of their own: they vanish with the
 * program that runs there. bwrap itself can do so only from 0.11.
 * @module
 */

/** A folder that shows others laid over each other; what is written goes to the uppermost. */
export interface Overlay {
  /** Where it appears: an empty folder of this machine, outside of which nobody sees it. */
  readonly target: string;
  /** Folders that stay as they are, the uppermost first. */
  readonly lower: readonly string[];
  readonly upper: string;
  /** An empty folder on the file system of `upper`. */
  readonly work: string;
}

/** What to put before a command so that it runs with the overlays mounted; nothing without any. */
export function overlayCommand(overlays: readonly Overlay[]): string[] {
  if (overlays.length === 0) return [];
  const mounts = overlays.flatMap(({ target, lower, upper, work }) => {
    const folders = `lowerdir=${lower.map(escaped).join(":")},upperdir=${escaped(upper)},workdir=${escaped(work)}`;
    return ["-t", "overlay", "overlay", "-o", folders, "--", target];
  });
  return ["unshare", "--mount", "--propagation", "slave", "sh", "-euc", mountScript, "sh", ...mounts];
}

/**
 * Takes the mounts off its arguments and becomes the rest. The upper folder gets whole files, whatever the kernel's
 * defaults are: others read it when the mount is gone. In a user namespace userxattr means that too, and the marks of
 * replaced folders are then attributes that users may set.
 */
const mountScript = `
read -r _ _ ids < /proc/self/uid_map
plain=index=off,userxattr
[ "$ids" != 4294967295 ] || plain=index=off,metacopy=off,redirect_dir=off
while [ "$1" = -t ]; do
  mount "$1" "$2" "$3" "$4" "$5,$plain" "$6" "$7"
  shift 7
done
exec "$@"`;

/** overlayfs splits its options at commas, lower folders also at colons. */
function escaped(path: string): string {
  return path.replaceAll(/[\\,:]/g, String.raw`\$&`);
}

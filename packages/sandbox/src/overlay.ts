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

/** Takes the mounts off its arguments and becomes the rest. */
const mountScript = `
while [ "$1" = -t ]; do
  mount "$1" "$2" "$3" "$4" "$5" "$6" "$7"
  shift 7
done
exec "$@"`;

/** overlayfs splits its options at commas, lower folders also at colons. */
function escaped(path: string): string {
  return path.replaceAll(/[\\,:]/g, String.raw`\$&`);
}

/**
 * What is mounted, as this process sees it.
 * @module
 */
import { readFileSync } from "node:fs";

/** The mounts at or below a path, as lines of /proc/self/mounts: others may mount and unmount elsewhere meanwhile. */
export function mountsBelow(path: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => {
      const place = line.split(" ")[1] ?? "";
      return place === path || place.startsWith(`${path}/`);
    });
}

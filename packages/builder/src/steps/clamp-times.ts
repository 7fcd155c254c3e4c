/**
 * Gives every file of a tree that is younger than SOURCE_DATE_EPOCH that time instead.
 * https://reproducible-builds.org/specs/source-date-epoch/
 * @module
 */
import { AT_FDCWD, setMtime } from "@imgtool/host";
import { walkTree } from "../tree-walk.ts";

/** Clamps the times of a tree to `sourceDateEpoch`, in seconds. Returns how many files it changed. */
export async function clampTimes(
  tree: string,
  sourceDateEpoch: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const latest = BigInt(sourceDateEpoch) * 1_000_000_000n;
  let count = 0;
  for await (const { path, stat } of walkTree(tree, { order: "content-first", signal })) {
    if (stat.mtimeNs <= latest) continue;
    setMtime(AT_FDCWD, path, latest);
    count++;
  }
  return count;
}

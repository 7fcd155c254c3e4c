/**
 * The time of a project that gives none: that of its newest input. It changes when the project does,
 * and not with the day of the build.
 * @module
 */
import type { ConfigFiles } from "./files.ts";

/** More inputs than this are not looked at; their newest is as good as any for a clamp. */
const maximumInputs = 200_000;

/** Seconds since 1970 of the newest of the files, folders being searched; 0 where there is none. */
export function newestInput(paths: readonly string[], files: ConfigFiles): number {
  const seen = new Set<string>();
  const queue = [...paths];
  let newest = 0;
  for (let path = queue.pop(); path !== undefined && seen.size < maximumInputs; path = queue.pop()) {
    const status = files.status(path);
    // A link may lead back to a folder that was searched.
    if (status === undefined || seen.has(status.identity)) continue;
    seen.add(status.identity);
    if (status.kind === "directory") {
      for (const name of files.list(path) ?? []) queue.push(`${path}/${name}`);
    } else if (Number.isSafeInteger(status.modified)) {
      // A folder's own time changes when somebody looks for a file with an editor; only content counts.
      newest = Math.max(newest, status.modified);
    }
  }
  return newest;
}

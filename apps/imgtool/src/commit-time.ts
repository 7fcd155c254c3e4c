/**
 * The time of a project's last commit: what SourceDateEpoch= is where nothing sets it, because the times of
 * files in a checkout are those of the checkout.
 * @module
 */
import { spawnSync } from "node:child_process";

/**
 * Seconds since 1970; undefined where the directory is in no checkout, git does not trust its owner, or it has
 * changes that are not committed, whose times count then.
 */
export function commitTime(directory: string): number | undefined {
  const git = (...args: readonly string[]): string | undefined => {
    // A repository's own configuration may name programs to run.
    const safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"];
    const { status, stdout } = spawnSync("git", [...safe, "-C", directory, ...args], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], LC_ALL: "C", GIT_OPTIONAL_LOCKS: "0" },
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 20_000,
    });
    return status === 0 ? stdout.trim() : undefined;
  };
  const time = git("log", "-1", "--format=%ct", "--", ".");
  if (time === undefined || !/^\d+$/.test(time)) return undefined;
  // Files that git does not know are mostly what builds made.
  return git("status", "--porcelain", "--untracked-files=no", "--", ".") === "" ? Number(time) : undefined;
}

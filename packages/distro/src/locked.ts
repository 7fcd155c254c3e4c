/**
 * Installing the very packages that were locked, and no others.
 * @module
 */
import { NotFoundError } from "@imgtool/core";
import type { InstalledPackage, LockedPackage } from "./distribution.ts";
import type { PackageFile } from "./package-cache.ts";

/** What to do about a lock that cannot be kept. */
export const lockHint = "lock anew with imgtool lock, or name the archive of that day with Snapshot=";

/** The locked form of the files of a plan, in the order of their names. */
export function lockFiles(files: readonly PackageFile[]): LockedPackage[] {
  return files
    .map(({ file, uri, sha256 = "" }) => {
      const [name = "", version = "", architecture = ""] = file.replace(/\.deb$/, "").split("_");
      const path = /\/(pool\/.*)$/.exec(uri)?.[1] ?? (uri.startsWith("copy:") ? file : uri);
      return { name, version: decodeURIComponent(version), architecture, sha256, path: decodeURIComponent(path) };
    })
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.architecture < b.architecture ? -1 : 1));
}

/**
 * What apt is asked for in the place of `packages`: every locked one in its version.
 * @param before what the tree has already, which need not be locked
 * @throws NotFoundError `lock-stale` for a package that was not locked
 */
export function lockedNames(
  packages: readonly string[],
  locked: readonly LockedPackage[],
  before: readonly InstalledPackage[] = [],
): string[] {
  const known = new Set([...locked, ...before].map(({ name }) => name));
  // apt's patterns choose among what there is.
  const others = packages
    .map((name) => name.split("=")[0] ?? "")
    .filter((name) => !/^[?~^]/.test(name) && !known.has(name));
  if (others.length > 0) {
    throw new NotFoundError(`not locked: ${others.join(", ")}`, {
      code: "lock-stale",
      hint: "Packages= has changed since: lock anew with imgtool lock",
      data: { packages: others },
    });
  }
  return locked.map(({ name, version }) => `${name}=${version}`);
}

/** Installed packages with the digests that they were locked with. */
export function withDigests(
  installed: readonly InstalledPackage[],
  locked: readonly LockedPackage[],
): InstalledPackage[] {
  const digests = new Map(locked.map((entry) => [packageKey(entry), entry.sha256]));
  return installed.map((entry) => {
    const sha256 = digests.get(packageKey(entry));
    return sha256 === undefined ? entry : { ...entry, sha256 };
  });
}

/** @throws NotFoundError `lock-unsatisfied` when the plan has other files than were locked */
export function checkLockedFiles(files: readonly PackageFile[], locked: readonly LockedPackage[]): void {
  compareLocked(lockFiles(files).map(fileKey), locked.map(fileKey), "the archive would give");
}

/**
 * @param before what the tree had already, which may be more than was locked
 * @throws NotFoundError `lock-unsatisfied` when other packages are installed than were locked
 */
export function checkLockedTree(
  installed: readonly InstalledPackage[],
  locked: readonly LockedPackage[],
  before: readonly InstalledPackage[] = [],
): void {
  const wanted = new Set(locked.map(packageKey));
  const had = new Set(before.map(packageKey).filter((key) => !wanted.has(key)));
  compareLocked(
    installed.map(packageKey).filter((key) => !had.has(key)),
    [...wanted],
    "the image has",
  );
}

/** The packages that a tree does not have yet. */
export function notInstalled<Package extends InstalledPackage>(
  locked: readonly Package[],
  installed: readonly InstalledPackage[],
): Package[] {
  const has = new Set(installed.map(packageKey));
  return locked.filter((entry) => !has.has(packageKey(entry)));
}

function packageKey({ name, version, architecture }: InstalledPackage): string {
  return `${name} ${version} ${architecture}`;
}

function fileKey(entry: LockedPackage): string {
  return `${packageKey(entry)} (SHA-256 ${entry.sha256})`;
}

function compareLocked(found: readonly string[], locked: readonly string[], who: string): void {
  const [has, wants] = [new Set(found), new Set(locked)];
  const extra = found.filter((name) => !wants.has(name));
  const missing = locked.filter((name) => !has.has(name));
  if (extra.length === 0 && missing.length === 0) return;
  throw new NotFoundError(`the locked packages cannot be had: ${who} ${some(extra)} where ${some(missing)} is locked`, {
    code: "lock-unsatisfied",
    hint: lockHint,
    data: { found: extra, locked: missing },
  });
}

/** The first of the names, for a message. */
function some(names: readonly string[]): string {
  if (names.length === 0) return "nothing";
  return `${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}`;
}

/** The error of an archive that no longer has what was locked; others as they are. */
export function lockError(error: unknown): unknown {
  if (!(error instanceof NotFoundError) || !error.code.startsWith("package-")) return error;
  return new NotFoundError(`the locked packages cannot be had: ${error.message}`, {
    code: "lock-unsatisfied",
    hint: lockHint,
    data: error.data,
    cause: error,
  });
}

/** The error of locked packages among which there is none that Packages= asks for; others as they are. */
export function staleLockError(error: unknown): unknown {
  if (!(error instanceof NotFoundError) || error.code !== "package-not-found") return error;
  return new NotFoundError(`not locked: ${error.message}`, {
    code: "lock-stale",
    hint: "Packages= has changed since: lock anew with imgtool lock",
    data: error.data,
    cause: error,
  });
}

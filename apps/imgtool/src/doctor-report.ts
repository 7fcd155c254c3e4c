/**
 * What `imgtool doctor` says: each host program with its version and what it is needed for, and what this
 * machine cannot do without those that are missing or too old.
 * @module
 */
import { compareVersions } from "@imgtool/config";
import type { HostTool } from "@imgtool/host";

export interface ToolRow extends HostTool {
  readonly name: string;
  /** Undefined where it is missing. */
  readonly path: string | undefined;
  /** Undefined where it is missing or does not tell. */
  readonly version: string | undefined;
}

/** The first version number in what a program says of itself. */
export function findVersion(output: string): string | undefined {
  // A whole number, before the version of the distribution's package.
  const whole = /^(?:systemd|kmod version) (\d+)\b/.exec(output)?.[1];
  return whole ?? /\d+(?:\.\d+)+/.exec(output)?.[0];
}

/** A program that is there, but older than what some of imgtool needs. */
export function isOld({ version, newer }: Pick<ToolRow, "version" | "newer">): boolean {
  return version !== undefined && newer !== undefined && compareVersions(version, newer.since) < 0;
}

/** The report as lines of text. */
export function doctorLines(rows: readonly ToolRow[]): string[] {
  const width = Math.max(...rows.map(({ name }) => name.length));
  const versions = Math.max(...rows.map(({ version = "" }) => version.length));
  const table = rows.map(
    (row) =>
      `${state(row).padStart(8)}  ${row.name.padEnd(width)}  ${(row.version ?? "").padEnd(versions)}  ${row.purpose}`,
  );
  const lost = rows.flatMap((row) => {
    if (row.path === undefined) return [`  ${row.purpose}: needs ${row.name} (package ${row.package})`];
    if (!isOld(row)) return [];
    const { since = "", without = "" } = row.newer ?? {};
    return [`  ${row.name} ${row.version ?? ""} cannot ${without}; ${since} can`];
  });
  return [...table, "", ...builtIn, ...(lost.length === 0 ? [] : ["", "Not possible on this machine:", ...lost])];
}

/** What people look for in vain in the table. */
const builtIn: readonly string[] = [
  "imgtool writes these itself, and runs no program of e2fsprogs, btrfs-progs, xfsprogs, erofs-utils, dosfstools,",
  "cryptsetup or systemd-repart for them: ext4, btrfs and erofs (also compressed), xfs, vfat, swap,",
  "GPT, LUKS2 and dm-verity. Newer versions of those would add nothing.",
];

/** What is optional is named with the package that brings it, and asked of nobody. */
function state(row: ToolRow): string {
  if (row.path === undefined) return row.optional === true ? "optional" : "missing";
  return isOld(row) ? "old" : "ok";
}

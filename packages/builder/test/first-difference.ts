/**
 * Says where two outputs differ: which file, and of a disk which partition.
 * @module
 */
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { join } from "node:path";
import type { BuildRecord } from "../src/index.ts";

/** The first difference between two folders, their files in order of names; undefined where there is none. */
export function firstDifference(a: string, b: string, record?: BuildRecord, path = ""): string | undefined {
  const [left, right] = [lstatSync(join(a, path)), lstatSync(join(b, path))];
  const name = path === "" ? "the folder" : path;
  for (const what of ["mode", "uid", "gid", "mtimeMs"] as const)
    // The folder of the outputs itself is the user's, and outputs are as old as they are.
    if (path.includes("/") && left[what] !== right[what]) return `${name}: ${what} ${left[what]}, ${right[what]}`;
  if (left.isSymbolicLink() && right.isSymbolicLink()) {
    const targets = [a, b].map((folder) => readlinkSync(join(folder, path)));
    return targets[0] === targets[1] ? undefined : `${name}: links to ${targets.join(", ")}`;
  }
  if (left.isFile() && right.isFile()) {
    const offset = firstDifferentByte(join(a, path), join(b, path));
    if (offset === undefined) return undefined;
    const partitions = record?.artifacts.find((artifact) => artifact.path === path)?.partitions;
    const within = partitions?.find((part) => part.offset <= offset && offset < part.offset + part.size);
    const where = within === undefined ? "" : `, partition ${within.type}, offset ${offset - within.offset}`;
    return `${name}: byte ${offset}${where}; sizes ${left.size}, ${right.size}`;
  }
  if (!left.isDirectory() || !right.isDirectory())
    return left.mode === right.mode ? undefined : `${name}: another kind`;
  const names = [a, b].map((folder) => readdirSync(join(folder, path)).sort((x, y) => (rank(x) < rank(y) ? -1 : 1)));
  const [all = [], others = []] = names;
  const lonely = [...all, ...others].find((child) => !all.includes(child) || !others.includes(child));
  if (lonely !== undefined) return `${join(path, lonely)} is in one of them only`;
  for (const child of all) {
    const found = firstDifference(a, b, record, path === "" ? child : `${path}/${child}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Its offset, or that of the shorter one's end; in pieces: memory for whole disks takes longer than to read them. */
function firstDifferentByte(a: string, b: string): number | undefined {
  const files = [openSync(a, "r"), openSync(b, "r")] as const;
  const [one, two] = [Buffer.alloc(1024 ** 2), Buffer.alloc(1024 ** 2)];
  try {
    for (let offset = 0; ; offset += one.length) {
      const lengths = [readSync(files[0], one), readSync(files[1], two)] as const;
      const common = Math.min(...lengths);
      if (one.compare(two, 0, common, 0, common) !== 0) return offset + one.findIndex((byte, i) => byte !== two[i]);
      if (lengths[0] !== lengths[1]) return offset + common;
      if (common === 0) return undefined;
    }
  } finally {
    for (const file of files) closeSync(file);
  }
}

/** What sums up the others says the least, and comes last. */
function rank(name: string): string {
  return `${/(?:SHA256SUMS|\.build\.json)$/.test(name) ? 1 : 0} ${name}`;
}

/**
 * Block devices for tests.
 * @module
 */
import { mkdirSync } from "node:fs";
import { needPrograms, needRoot, type SkippableContext } from "./needs.ts";
import { run } from "./run.ts";
import type { TemporaryFolder } from "./temporary.ts";

export interface LoopDevice extends Disposable {
  /** `/dev/loop…` */
  readonly path: string;
}

/** A block device with the content of a file; skips the test where the machine has none. */
export function attachLoopDevice(context: SkippableContext, file: string): LoopDevice {
  let path = "";
  try {
    path = run("losetup", ["--find", "--show", file]).trim();
  } catch {
    context.skip("needs loop devices");
  }
  return { path, [Symbol.dispose]: () => void run("losetup", ["--detach", path]) };
}

/** An empty file system, mounted; skips the test where the machine has none of its kind. */
export function mountFileSystem(context: SkippableContext, kind: "btrfs" | "xfs", folder: TemporaryFolder): LoopDevice {
  needRoot(context);
  needPrograms(context, "losetup", `mkfs.${kind}`, "filefrag");
  const image = folder.join(`${kind}.image`);
  run("truncate", ["-s", kind === "xfs" ? "320M" : "128M", image]);
  run(`mkfs.${kind}`, ["-q", image]);
  const path = folder.join(kind);
  mkdirSync(path);
  try {
    run("mount", ["-o", "loop", image, path]);
  } catch {
    context.skip(`needs to mount ${kind}`);
  }
  return { path, [Symbol.dispose]: () => void run("umount", [path]) };
}

/** Bytes of a file that lie in blocks which it shares with others, as the kernel tells of its extents. */
export function sharedBytes(file: string): number {
  run("sync", [file]);
  let blocks = 0;
  for (const line of run("filefrag", ["-v", file]).split("\n")) {
    const columns = line.split(":");
    if (/^\s*\d+$/.test(columns[0] ?? "") && line.includes("shared")) blocks += Number(columns[3]);
  }
  return blocks * 4096;
}

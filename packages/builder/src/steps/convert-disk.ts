/**
 * Puts a finished disk into a file of virtual machines: qcow2, VMDK or VHDX.
 * @module
 */
import { rename, rm, stat } from "node:fs/promises";
import { formatSize } from "@imgtool/core";
import { fixIdentifiers } from "@imgtool/disk";
import { runTool } from "@imgtool/host";
import type { BuildContext } from "../context.ts";

/** Converts the disk in its place; a raw one stays as it is. */
export async function convertDisk({ config, progress, signal }: BuildContext, path: string): Promise<void> {
  const { diskFile, seed } = config;
  if (diskFile === "raw") return;
  using task = progress.start({ label: `convert to ${diskFile}` });
  // VMDK files hold their own name.
  const raw = `${path}.raw`;
  await rename(path, raw);
  await runTool("qemu-img", ["convert", "-f", "raw", "-O", diskFile, "--", raw, path], { signal });
  await rm(raw);
  fixIdentifiers(path, diskFile, seed);
  task.done(formatSize((await stat(path)).size));
}

/**
 * The archive that updates the processor before the kernel does anything else: the kernel's
 * Documentation/arch/x86/microcode.rst.
 * @module
 */
import { createWriteStream } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { systemErrorCode } from "@imgtool/core";
import { encodeCpio, type CpioEntry } from "@imgtool/cpio";
import { resolveInTree } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";

const vendors = [
  { name: "AuthenticAMD", folder: "amd-ucode", file: /^microcode_amd.*\.bin$/ },
  { name: "GenuineIntel", folder: "intel-ucode", file: /^[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}(?:\.initramfs)?$/ },
];

/** Packs what the image has in /usr/lib/firmware, uncompressed; returns the path, or undefined without any. */
export async function packMicrocode({ tree, config, workspace, signal }: BuildContext): Promise<string | undefined> {
  const common = { uid: 0, gid: 0, mtime: config.sourceDateEpoch };
  const entries: CpioEntry[] = ["kernel", "kernel/x86", "kernel/x86/microcode"].map((path) => ({
    ...common,
    kind: "directory",
    path: Buffer.from(path),
    mode: 0o755,
  }));
  const folders = entries.length;
  for (const { name, folder, file } of vendors) {
    const place = await resolveInTree(tree, `usr/lib/firmware/${folder}`, { followLast: true });
    const names = (await list(place)).filter((one) => file.test(one)).sort();
    if (names.length === 0) continue;
    const content = Buffer.concat(await Promise.all(names.map(async (one) => await readFile(join(place, one)))));
    const path = Buffer.from(`kernel/x86/microcode/${name}.bin`);
    entries.push({ ...common, kind: "file", path, mode: 0o644, size: content.length, content: [content] });
  }
  if (entries.length === folders) return undefined;
  const output = join(workspace, "microcode.cpio");
  const abort = signal === undefined ? {} : { signal };
  await pipeline(Readable.from(encodeCpio(entries), { objectMode: false }), createWriteStream(output), abort);
  return output;
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}

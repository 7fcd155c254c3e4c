/**
 * RuntimeSize=: the image's disk grows before it runs, with the partition table's copy at its new end, so
 * that the guest's systemd-repart and growfs find the space.
 * @module
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeGpt, encodeGpt } from "@imgtool/disk/gpt";
import { runTool } from "@imgtool/host";
import type { MachineDisk } from "./virtual-machine.ts";

export interface GrowOptions {
  readonly disk: MachineDisk;
  /** Bytes. */
  readonly size: number;
  /** Where the grown disk of an ephemeral one goes: what differs from the image, which stays as it is. */
  readonly overlay: string;
  readonly signal: AbortSignal | undefined;
}

/** Enough for the table of every sector size. */
const headSize = 64 * 1024;
/** Boot code and disk signature, before the four partitions of the master boot record. */
const bootCodeSize = 446;

/**
 * The disk to use instead; the same one where it is large enough.
 * @throws FormatError `gpt-invalid`, EnvironmentError `tool-missing`
 */
export async function growDisk({ disk, size, overlay, signal }: GrowOptions): Promise<MachineDisk> {
  const { path, format, sectorSize } = disk;
  const { stdout } = await runTool("qemu-img", ["info", "--output=json", "-f", format, path], { signal });
  const now = (JSON.parse(stdout) as { readonly "virtual-size": number })["virtual-size"];
  if (now >= size) return disk;
  const folder = await mkdtemp(join(tmpdir(), "imgtool-grow-"));
  try {
    const head = join(folder, "head");
    await runTool(
      "qemu-img",
      ["dd", "-f", format, "-O", "raw", `bs=${headSize}`, "count=1", `if=${path}`, `of=${head}`],
      { signal },
    );
    const old = await readFile(head);
    const table = decodeGpt(old, { sectorSize });
    const [first, last] = encodeGpt({
      ...table,
      size,
      sectorSize,
      firstUsable: Math.min(1024 ** 2, ...table.partitions.map(({ offset }) => offset)),
    });
    first.bytes.set(old.subarray(0, bootCodeSize));
    const grown: MachineDisk = disk.ephemeral ? { ...disk, path: overlay, format: "qcow2" } : disk;
    await runTool(
      "qemu-img",
      disk.ephemeral
        ? ["create", "-q", "-f", "qcow2", "-b", path, "-F", format, overlay, String(size)]
        : ["resize", "-q", "-f", format, path, String(size)],
      { signal },
    );
    for (const [index, { offset, bytes }] of [first, last].entries()) {
      await writeFile(join(folder, String(index)), bytes);
      // qemu-io splits its commands at spaces, which a folder's name may have.
      const command = `write -s ${index} ${offset} ${bytes.length}`;
      await runTool("qemu-io", ["-f", grown.format, "-c", command, grown.path], { cwd: folder, signal });
    }
    return grown;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * What GNU cpio makes of a folder: the judge of cpio archives.
 * @module
 */
import { lstatSync, readdirSync } from "node:fs";
import { tryRun } from "./run.ts";

/**
 * The archive of a folder, in the format newc, with names in byte order, as `cpio --reproducible` of
 * GNU cpio 2.14 makes it. Older ones still write how many folders a folder holds; here that is undone.
 */
export function gnuCpio(folder: string): Buffer {
  const names: Buffer[] = [];
  const visit = (inner: Buffer): void => {
    const place = Buffer.concat([Buffer.from(`${folder}/`), inner]);
    for (const name of readdirSync(place, { encoding: "buffer" }).sort((a, b) => a.compare(b))) {
      const path = inner.length === 0 ? name : Buffer.concat([inner, Buffer.from("/"), name]);
      names.push(path, Buffer.of(0));
      if (lstatSync(Buffer.concat([Buffer.from(`${folder}/`), path])).isDirectory()) visit(path);
    }
  };
  visit(Buffer.alloc(0));
  const args = ["--create", "--format=newc", "--reproducible", "--renumber-inodes", "--null", "--quiet"];
  const { status, stdout, stderr } = tryRun("cpio", args, { cwd: folder, input: Buffer.concat(names) });
  if (status !== 0) throw new Error(`cpio exited with ${status}: ${stderr}`);
  const field = (offset: number, index: number): number =>
    Number.parseInt(stdout.toString("latin1", offset + 6 + 8 * index, offset + 14 + 8 * index), 16);
  for (let offset = 0; stdout.toString("latin1", offset, offset + 6) === "070701";) {
    if ((field(offset, 1) & 0o170000) === 0o040000) stdout.write("00000002", offset + 6 + 8 * 4, "latin1");
    offset += aligned(110 + field(offset, 11)) + aligned(field(offset, 6));
  }
  return stdout;
}

function aligned(length: number): number {
  return Math.ceil(length / 4) * 4;
}

/**
 * Inputs of the benchmarks, made from what the machine has: a tar of /usr cut to a size, the tree in
 * it, an ext4 image of that size, and a second version of tar and tree.
 * @module
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

export interface Inputs {
  readonly tar: string;
  readonly tree: string;
  readonly image: string;
  /** The second version: what an update of a distribution changes. */
  readonly nextTar: string;
  readonly nextTree: string;
  /** A file of 1 kB. */
  readonly small: string;
}

/** Makes all inputs in `work`; they are warm then. */
export function makeInputs(work: string, megabytes: number): Inputs {
  const path = (name: string): string => join(work, name);
  const inputs: Inputs = {
    tar: path("1.tar"),
    tree: path("1.tree"),
    image: path("1.image"),
    nextTar: path("2.tar"),
    nextTree: path("2.tree"),
    small: path("small"),
  };
  shell(`tar --sort=name -cf - -C / usr 2>/dev/null | head -c ${megabytes}M >"$1"`, inputs.tar);
  // The tar's last file is cut off, at which tar complains.
  shell(`mkdir "$2"; tar -xf "$1" -C "$2" 2>/dev/null || true`, inputs.tar, inputs.tree);
  // A file system needs some space for itself.
  const part = Math.floor(megabytes * 0.75);
  shell(
    `mkdir "$1.d" && head -c ${part}M "$2" | tar -xf - -C "$1.d" 2>/dev/null
     mke2fs -q -t ext4 -m 0 -d "$1.d" "$1" ${megabytes}M && rm -r "$1.d"`,
    inputs.image,
    inputs.tar,
  );
  shell(`cp -a "$1" "$2"`, inputs.tree, inputs.nextTree);
  update(inputs.nextTree);
  shell(`tar --sort=name -cf "$2" -C "$1" .`, inputs.nextTree, inputs.nextTar);
  writeFileSync(inputs.small, Buffer.alloc(1000, "imgtool "));
  return inputs;
}

/**
 * Changes a tree as an update does: of every 12 files one is new from some point on and a little
 * longer, as what was compiled anew; of every 60 one goes and one comes.
 */
function update(tree: string): void {
  for (const [i, file] of filesBelow(tree).sort().entries()) {
    if (i % 60 === 1) rmSync(file);
    else if (i % 60 === 2) writeFileSync(`${file}.new`, Buffer.alloc(20_000, `${i} `));
    else if (i % 12 === 0) change(file, i);
  }
}

/** Not readdir's own recursion, which follows symlinks. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

function change(file: string, seed: number): void {
  const { size } = statSync(file);
  truncateSync(file, Math.floor(size / 3));
  const descriptor = openSync(file, "r+");
  try {
    const bytes = Buffer.alloc(Math.ceil((size * 2) / 3) + 100);
    // a simple generator: the same bytes in every run, and no compression to speak of
    for (let at = 0, state = seed + 1; at < bytes.length; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      bytes[at] = state >>> 24;
    }
    writeSync(descriptor, bytes, 0, bytes.length, Math.floor(size / 3));
  } finally {
    closeSync(descriptor);
  }
}

/** An image of so many GiB with some data at its beginning and in its middle, and holes. */
export function makeSparseImage(path: string, gigabytes: number): string {
  const descriptor = openSync(path, "w");
  try {
    ftruncateSync(descriptor, gigabytes * 1024 ** 3);
    const data = Buffer.alloc(64 * 1024 ** 2, "a block of data that is not zero ");
    for (const at of [0, (gigabytes / 2) * 1024 ** 3 + 777]) writeSync(descriptor, data, 0, data.length, at);
  } finally {
    closeSync(descriptor);
  }
  return path;
}

/** A tree of so many small files in directories of 1000. */
export function makeSmallFiles(path: string, count: number): string {
  for (let i = 0; i < count; i++) {
    const folder = join(path, String(Math.floor(i / 1000)));
    if (i % 1000 === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file ${i}`), `the content of file ${i}\n`.repeat(i % 40));
  }
  return path;
}

function shell(script: string, ...args: readonly string[]): void {
  const result = spawnSync("bash", ["-c", script, "bash", ...args], { stdio: ["ignore", "ignore", "inherit"] });
  if (result.status !== 0) throw new Error(`could not make the inputs: ${script}`);
}

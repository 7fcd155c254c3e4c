/**
 * A tree with everything that goes wrong in images, made in an order of one's choice: readdir's order,
 * inode numbers and ctimes then differ while the content is the same.
 * @module
 */
import {
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
  openSync,
  closeSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { randomBytes, run, tryRun } from "@imgtool/testkit";

export interface FixtureOptions {
  /** Make entries in reverse. */
  readonly reverse?: boolean;
  /** Entries of the large directory. Default 1500: some thirty blocks. */
  readonly many?: number;
  /** Bytes of the longest symbolic link. Default 2501. */
  readonly longestLink?: number;
}

/** Seconds since 1970 that the fixture's times are clamped to. */
export const epoch = 1_700_000_000;

const root = process.getuid?.() === 0;

/** Fills an empty directory. */
export function makeFixture(folder: string, options: FixtureOptions = {}): void {
  const at = (name: string | Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${folder}/`), typeof name === "string" ? Buffer.from(name) : name]);
  const steps: (() => void)[] = [];
  const file = (name: string | Buffer, content: Uint8Array | string): void =>
    void steps.push(() => writeFileSync(at(name), content));
  for (const name of ["etc", "usr", "usr/lib", "usr/lib/deep", "many", "nodes", "names", "data", "attributes", "empty"])
    mkdirSync(at(name));
  file("usr/lib/os-release", 'ID=fixture\nNAME="Fixture"\nVERSION_ID=1\n');
  file("etc/machine-id", "uninitialized\n");
  for (const size of [0, 1, 59, 60, 4095, 4096, 4097, 8192, 65_536, 100_001])
    file(`data/size-${size}`, randomBytes(size, String(size)));
  file("data/large", randomBytes(3_000_000, "large"));
  steps.push(() => {
    writeFileSync(at("data/holes"), "");
    truncateSync(at("data/holes"), 5_000_001);
    const open = openSync(at("data/holes"), "r+");
    writeSync(open, "x", 2_500_000);
    closeSync(open);
  });
  // More runs of data than an ext4 inode has room for.
  steps.push(() => {
    const open = openSync(at("data/runs"), "w");
    for (let run = 0; run < 12; run++) writeSync(open, randomBytes(65_536, `run ${run}`), 0, 65_536, run * 131_072);
    closeSync(open);
  });
  for (const name of [
    "a b",
    'quo"te',
    "single'quote",
    "back\\slash",
    "new\nline",
    "-dash",
    "!bang",
    "#hash",
    "tab\t",
    " ",
    "é",
    "x".repeat(255),
  ])
    file(`names/${name}`, name);
  file(Buffer.from([...Buffer.from("names/"), 0xff, 0xfe, 0x80]), "not UTF-8");
  for (let index = 0; index < (options.many ?? 1500); index++)
    file(`many/file-${index}-${"y".repeat(index % 60)}`, String(index));
  steps.push(
    () => symlinkSync("os-release", at("usr/lib/short")),
    () => symlinkSync("z".repeat(59), at("usr/lib/link-59")),
    () => symlinkSync("z".repeat(60), at("usr/lib/link-60")),
    () => symlinkSync(`/${"long/".repeat(500)}`.slice(0, options.longestLink), at("usr/lib/link-long")),
    () =>
      mkdirSync(at(`usr/lib/deep/${Array.from({ length: 30 }, (_, index) => `level-${index}`).join("/")}`), {
        recursive: true,
      }),
  );
  const ordered = options.reverse === true ? steps.toReversed() : steps;
  for (const step of ordered) step();
  // Links of a file that exists by now; the image names the first by name "original" whichever was made first.
  const links = ["nodes/b-link", "nodes/c-link", "usr/lib/d-link"];
  writeFileSync(at("nodes/a-original"), "linked");
  for (const link of options.reverse === true ? links.toReversed() : links) linkSync(at("nodes/a-original"), at(link));
  run("mkfifo", [`${folder}/nodes/fifo`]);
  writeFileSync(at("nodes/setuid"), "s");
  mkdirSync(at("nodes/sticky"));
  writeFileSync(at("attributes/file"), "a");
  writeFileSync(at("attributes/many"), "m");
  const set = (path: string, name: string, value: string): void =>
    void run("setfattr", ["-n", name, "-v", value, `${folder}/${path}`]);
  const attributes = [
    ["user.one", "1"],
    ["user.two", "value two"],
    ["user.empty", '""'],
  ] as const;
  for (const [name, value] of options.reverse === true ? attributes.toReversed() : attributes)
    set("attributes/file", name, value);
  set("attributes/many", "user.large", "v".repeat(1500));
  set("attributes/many", "user.large2", "w".repeat(1001));
  set("attributes", "user.directory", "d");
  if (root) {
    run("mknod", [`${folder}/nodes/character`, "c", "1", "3"]);
    run("mknod", [`${folder}/nodes/block`, "b", "259", "70000"]);
    set("usr/lib/os-release", "security.capability", "0x0100000200200000000000000000000000000000");
    set("attributes/file", "trusted.secret", "t");
    lchownSync(at("nodes/setuid"), 70_000, 100_001);
    lchownSync(at("usr/lib/short"), 12, 34);
  }
  tryRun("setfacl", ["-m", "u:1234:rwx,g:77:r", `${folder}/attributes/file`]);
  tryRun("setfacl", ["-d", "-m", "u:1234:rwx", `${folder}/attributes`]);
  chmodSync(at("nodes/setuid"), 0o4755);
  chmodSync(at("nodes/sticky"), 0o1777);
  chmodSync(at("etc/machine-id"), 0o444);
  run("find", [folder, "-exec", "touch", "-h", "-d", "2020-02-02T02:02:02.123456789Z", "{}", "+"]);
  run("touch", ["-h", "-d", "1965-05-05T05:05:05.5Z", `${folder}/data/size-1`]);
  run("touch", ["-h", "-d", "2100-01-01T00:00:00.25Z", `${folder}/data/size-59`]);
}

export interface MountedImage {
  /** Linux's name of the file system. */
  readonly kind: string;
  /** Path of the image. */
  readonly image: string;
  /** Folder that it is mounted on; made where it is missing. */
  readonly at: string;
  /** Mount options beside `loop`. Default "ro". */
  readonly options?: string;
}

/** Looks at the mounted image; false where this machine cannot mount it. */
export async function mounted(
  { kind, image, at, options = "ro" }: MountedImage,
  look: (at: string) => Promise<void> | void,
): Promise<boolean> {
  mkdirSync(at, { recursive: true });
  if (tryRun("mount", ["-t", kind, "-o", `loop,${options}`, image, at]).status !== 0) return false;
  try {
    await look(at);
  } finally {
    run("umount", [at]);
  }
  return true;
}

export interface DescribeOptions {
  /** Nanoseconds of times count. */
  readonly nanoseconds: boolean;
  /** Clamp later times to this. */
  readonly epoch?: number;
  /** Times before 1970 count as 1970. */
  readonly unsigned?: boolean;
  /** Attributes that matter, as a getfattr pattern. */
  readonly attributes: string;
}

/** Everything that an image of the folder must have, a line for each path. */
export function describeTree(folder: string, options: DescribeOptions): string[] {
  const lines: string[] = [];
  const inodes = new Map<string, string>();
  const visit = (path: Buffer, inner: string): void => {
    if (inner === "/lost+found") return;
    const stat = lstatSync(path, { bigint: true });
    let time = stat.mtimeNs;
    if (options.epoch !== undefined && time > BigInt(options.epoch) * 1_000_000_000n)
      time = BigInt(options.epoch) * 1_000_000_000n;
    if (!options.nanoseconds)
      time = (time - (((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)) / 1_000_000_000n;
    if (options.unsigned === true && time < 0n) time = 0n;
    const content = stat.isFile()
      ? createHash("sha256").update(readFileSync(path)).digest("hex")
      : stat.isSymbolicLink()
        ? readlinkSync(path)
        : stat.isDirectory()
          ? ""
          : `device ${stat.rdev}`;
    const first = inodes.get(String(stat.ino)) ?? inner;
    inodes.set(String(stat.ino), first);
    const links = stat.isDirectory() ? "" : `${stat.nlink} ${first}`;
    lines.push(
      JSON.stringify([
        inner,
        stat.mode.toString(8),
        `${stat.uid}:${stat.gid}`,
        String(time),
        stat.isDirectory() ? "" : String(stat.size),
        links,
        content,
      ]),
    );
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(path, { encoding: "buffer" }).sort((a, b) => Buffer.compare(a, b)))
      visit(Buffer.concat([path, Buffer.from("/"), name]), `${inner}/${name.toString("latin1")}`);
  };
  visit(Buffer.from(folder), "");
  const attributes = tryRun("getfattr", ["-Rhd", "-m", options.attributes, "-e", "hex", "."], { cwd: folder });
  return [
    ...lines,
    ...attributes.stdout
      .toString("utf8")
      .split("\n\n")
      .map((text) => text.trim())
      .filter(Boolean)
      .sort(),
  ];
}

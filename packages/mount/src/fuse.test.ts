import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createInterface } from "node:readline/promises";
import { chunkPath } from "@imgtool/store";
import { makeArchive, makeTree, readIndex } from "@imgtool/sync";
import {
  needPrograms,
  needRoot,
  randomBytes,
  run,
  runAsync,
  temporaryFolder,
  type TemporaryFolder,
} from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";

// The kernel asks the process that serves it: the mounts are another's, so that calls here may wait for them.
const script = `
  import { openLocalStore } from "@imgtool/store";
  import { ArchiveBrowser, ChunkSource, fileReader, readIndex } from "@imgtool/sync";
  import { ImageReader, mountArchive } from "@imgtool/mount";
  const [archive, target, store] = process.argv.slice(1);
  let reader;
  if (store === undefined) reader = await fileReader(archive);
  else {
    const image = new ImageReader(new ChunkSource({ index: await readIndex(archive), stores: [await openLocalStore(store)] }));
    reader = { name: archive, size: image.size, read: (offset, length) => image.read(offset, length), pieces: (offset, length) => image.pieces(offset, length) };
  }
  const controller = new AbortController();
  process.once("SIGINT", () => controller.abort());
  await mountArchive({
    archive: new ArchiveBrowser(reader), size: reader.size, target, source: "test", trusted: true,
    signal: controller.signal,
    onMounted: () => console.log("mounted"),
    onError: (message) => console.log(message),
  });
  console.log("unmounted");`;

interface Mounted extends AsyncDisposable {
  readonly path: string;
  readonly child: ChildProcess;
  readonly lines: string[];
}

async function mount(folder: TemporaryFolder, ...args: readonly string[]): Promise<Mounted> {
  const path = folder.join("mnt");
  mkdirSync(path, { recursive: true });
  const [archive = "", ...store] = args;
  const child = spawn(
    process.execPath,
    ["--conditions=@imgtool/source", "--input-type=module", "-e", script, archive, path, ...store],
    { cwd: import.meta.dirname, stdio: ["ignore", "pipe", "inherit"] },
  );
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(line));
  await Promise.race([once(reader, "line"), once(child, "exit")]);
  expect(lines).toEqual(["mounted"]);
  return {
    path,
    child,
    lines,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      child.kill("SIGINT");
      await once(child, "exit");
    },
  };
}

function needs(context: TestContext): void {
  needRoot(context);
  if (!existsSync("/dev/fuse")) context.skip("needs /dev/fuse");
}

/** A tree with every kind of node, odd names, attributes, and a directory with many files. */
function plant(folder: TemporaryFolder): string {
  const tree = folder.join("tree");
  mkdirSync(`${tree}/many`, { recursive: true });
  for (let i = 0; i < 700; i++) writeFileSync(`${tree}/many/file ${i}`, `${i}\n`);
  writeFileSync(`${tree}/large`, randomBytes(3_000_000, "large"));
  writeFileSync(`${tree}/empty`, "");
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from("fffe20", "hex")]), "odd");
  symlinkSync("large", `${tree}/link`);
  run("mkfifo", [`${tree}/fifo`]);
  run("mknod", [`${tree}/null`, "c", "1", "3"]);
  run("mknod", [`${tree}/disk`, "b", "259", "300000"]);
  run("chown", ["1234:4321", `${tree}/empty`]);
  run("chmod", ["4751", `${tree}/empty`]);
  run("touch", ["-d", "2021-02-03T04:05:06.123456789Z", `${tree}/large`]);
  run("touch", ["-d", "1960-01-01T00:00:00.5Z", `${tree}/empty`]);
  return tree;
}

// sizes of directories are a file system's own
const status = (of: string): string =>
  run("sh", ["-c", `cd "$0" && find . ! -type d -printf '%p %y %m %U %G %s %T@ %l\\n' | sort`, of]);

const attributes = (of: string): string =>
  run("sh", ["-c", `cd "$0" && getfattr -d -m - large "many/file 7" && getfacl -n large many && getcap many/*7`, of]);

test("a mount is the tree: every kind of node, byte for byte", { tags: ["system"] }, async (context) => {
  needs(context);
  needPrograms(context, "casync", "setfattr", "getfattr", "setfacl", "getfacl", "setcap", "getcap");
  using folder = temporaryFolder();
  const tree = plant(folder);
  run("setfattr", ["-n", "user.note", "-v", "a value", `${tree}/large`]);
  run("setfacl", ["-m", "u:1234:rw,g:4321:r", `${tree}/large`]);
  run("setfacl", ["-d", "-m", "u:1234:rwx", `${tree}/many`]);
  run("setcap", ["cap_net_raw+ep", `${tree}/many/file 7`]);
  await makeTree({ source: tree, index: folder.join("x.caidx"), store: folder.join("s"), durable: false });
  await makeArchive({ source: tree, output: folder.join("x.catar") });
  const digest = run("casync", ["digest", folder.join("x.catar")]);
  for (const args of [[folder.join("x.caidx"), folder.join("s")], [folder.join("x.catar")]]) {
    await using mounted = await mount(folder, ...args);
    const { path } = mounted;
    expect(await runAsync("casync", ["digest", path])).toBe(digest);
    // diff takes special nodes for different ones, always
    const special = ["fifo", "null", "disk"].map((name) => `--exclude=${name}`);
    expect(await runAsync("diff", ["-r", "--no-dereference", ...special, tree, path])).toBe("");
    expect(status(path)).toBe(status(tree));
    expect(attributes(path)).toBe(attributes(tree));
    expect(run("stat", ["-c", "%t:%T", `${path}/disk`])).toBe(run("stat", ["-c", "%t:%T", `${tree}/disk`]));
    expect(readdirSync(`${path}/many`).length).toBe(700);
    expect(readlinkSync(`${path}/link`)).toBe("large");
    expect(() => lstatSync(`${path}/absent`)).toThrow("ENOENT");
    expect(() => writeFileSync(`${path}/new`, "")).toThrow("EROFS");
    expect(statfsSync(path).bfree).toBe(0);
    const descriptor = openSync(`${path}/large`, "r");
    const part = Buffer.alloc(1000);
    expect(readSync(descriptor, part, 0, 1000, 2_999_500)).toBe(500);
    expect(part.subarray(0, 500)).toEqual(readFileSync(`${tree}/large`).subarray(2_999_500));
    closeSync(descriptor);
  }
  expect(readdirSync(folder.join("mnt"))).toEqual([]);
});

test(
  "a chunk that is gone is an I/O error of its file; umount ends the process",
  { tags: ["system"] },
  async (context) => {
    needs(context);
    using folder = temporaryFolder();
    const tree = plant(folder);
    const index = folder.join("x.caidx");
    await makeTree({ source: tree, index, store: folder.join("s"), durable: false });
    const chunks = await readIndex(index);
    // in the middle of the large file
    const lost = chunks.find(Math.floor(chunks.totalSize / 2));
    rmSync(folder.join("s", chunkPath(chunks.name(lost))));
    await using mounted = await mount(folder, index, folder.join("s"));
    const { path, lines } = mounted;
    await expect(runAsync("cat", [`${path}/large`])).rejects.toThrow("Input/output error");
    expect(await runAsync("cat", [`${path}/many/file 699`])).toBe("699\n");
    const exited = once(mounted.child, "exit");
    // a copy in another mount namespace, as sandboxes have, would keep a mount alive
    await runAsync("umount", ["--force", path]);
    await exited;
    expect(lines.some((line) => line.includes("is missing"))).toBe(true);
    expect(lines.at(-1)).toBe("unmounted");
  },
);

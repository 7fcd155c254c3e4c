import {
  closeSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { needPrograms, needRoot, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import {
  AT_FDCWD,
  fchmodat,
  fchownat,
  fileSystemType,
  getFileFlags,
  getXattr,
  groupId,
  groupName,
  linkat,
  listXattrs,
  mkdirat,
  mknodat,
  openat,
  openFlags,
  readDirectory,
  readlinkat,
  receiveDescriptor,
  removeXattr,
  renameat2,
  seekData,
  setFileFlags,
  setMtime,
  setXattr,
  socketPair,
  statx,
  symlinkat,
  syncfs,
  SystemCallError,
  unlinkat,
  userId,
  userName,
} from "./index.ts";

/** A temporary folder that is open. */
function openFolder(): Disposable & { path: string; fd: number } {
  const folder = temporaryFolder();
  const fd = openSync(folder.path, "r");
  return {
    path: folder.path,
    fd,
    [Symbol.dispose]() {
      closeSync(fd);
      folder[Symbol.dispose]();
    },
  };
}

const weird = Buffer.from("ff fe 20 0a".replaceAll(" ", ""), "hex");

test("names that are no text: made, listed, renamed, linked, removed", () => {
  using folder = openFolder();
  closeSync(openat(folder.fd, weird, openFlags.write | openFlags.create | openFlags.exclusive, 0o600));
  linkat(folder.fd, weird, folder.fd, "link");
  mkdirat(folder.fd, "d", 0o700);
  renameat2(folder.fd, weird, folder.fd, "d/moved");
  const names = readDirectory(openSync(folder.path, "r")).map((entry) => entry.name.toString("latin1"));
  expect(names.sort()).toEqual(["d", "link"]);
  expect(statSync(`${folder.path}/link`).nlink).toBe(2);
  unlinkat(folder.fd, "d/moved");
  unlinkat(folder.fd, "d", { directory: true });
  expect(readDirectory(openSync(folder.path, "r")).length).toBe(1);
});

test("a directory with more entries than one read returns", () => {
  using folder = openFolder();
  const names = Array.from({ length: 3000 }, (_, i) => `a-rather-long-name-for-a-file-${i}`);
  for (const name of names) mknodat(folder.fd, name, 0o100_600);
  const found = readDirectory(folder.fd);
  expect(found.map((entry) => entry.name.toString()).sort()).toEqual(names.sort());
  expect(found.every((entry) => entry.type === 8 || entry.type === 0)).toBe(true);
});

test("errors have the code, call and path of node:fs", () => {
  using folder = openFolder();
  const opening = (): number => openat(folder.fd, "missing", openFlags.read);
  expect(opening).toThrow(SystemCallError);
  expect(opening).toThrow(expect.objectContaining({ code: "ENOENT", errno: -2, syscall: "openat", path: "missing" }));
  expect(opening).toThrow('ENOENT: no such file or directory, openat "missing"');
  expect(() => unlinkat(folder.fd, weird)).toThrow(expect.objectContaining({ path: String.raw`\xff\xfe \x0a` }));
  // the kernel would see another name
  expect(() => unlinkat(folder.fd, "a\0b")).toThrow(expect.objectContaining({ code: "EINVAL" }));
});

test("a planted symlink is not followed", () => {
  using folder = openFolder();
  symlinkSync("/etc", `${folder.path}/link`);
  expect(() => openat(folder.fd, "link", openFlags.read | openFlags.noFollow)).toThrow(
    expect.objectContaining({ code: "ELOOP" }),
  );
  expect(() => openat(folder.fd, "link", openFlags.directory | openFlags.noFollow)).toThrow(
    expect.objectContaining({ code: "ENOTDIR" }),
  );
  expect(statx(folder.fd, "link").mode & 0o170_000).toBe(0o120_000);
});

test("symlinks with long and odd targets", () => {
  using folder = openFolder();
  for (const target of ["x", "y".repeat(255), "z".repeat(256), "w".repeat(4000)]) {
    symlinkat(target, folder.fd, "link");
    expect(readlinkat(folder.fd, "link").toString()).toBe(target);
    expect(readlinkSync(`${folder.path}/link`)).toBe(target);
    unlinkat(folder.fd, "link");
  }
});

test("rename can refuse to replace, and can exchange", () => {
  using folder = openFolder();
  writeFileSync(`${folder.path}/a`, "a");
  writeFileSync(`${folder.path}/b`, "b");
  expect(() => renameat2(folder.fd, "a", folder.fd, "b", "no-replace")).toThrow(
    expect.objectContaining({ code: "EEXIST" }),
  );
  renameat2(folder.fd, "a", folder.fd, "b", "exchange");
  expect(readFileSync(`${folder.path}/a`, "utf8")).toBe("b");
  renameat2(folder.fd, "a", folder.fd, "b");
  expect(readFileSync(`${folder.path}/b`, "utf8")).toBe("b");
});

test("status agrees with node:fs, to the nanosecond", () => {
  using folder = openFolder();
  writeFileSync(`${folder.path}/f`, "content");
  for (const mtime of [1n, 1_612_325_106_123_456_789n, -1n, -1_000_000_000n, -41_103_876_543_211n]) {
    setMtime(folder.fd, "f", mtime);
    const status = statx(folder.fd, "f");
    const node = lstatSync(`${folder.path}/f`, { bigint: true });
    expect(status.mtime).toBe(mtime);
    expect(node.mtimeNs).toBe(mtime);
    expect(status).toMatchObject({
      inode: node.ino,
      size: 7,
      links: 1,
      mode: Number(node.mode),
      uid: Number(node.uid),
    });
  }
  fchmodat(folder.fd, "f", 0o4751);
  expect(statx(folder.fd, "f").mode).toBe(0o104_751);
  const fd = openat(folder.fd, "f", openFlags.readWrite);
  fchmodat(fd, "", 0o640);
  setMtime(fd, "", 5n);
  expect(statx(fd, "")).toMatchObject({ mode: 0o100_640, mtime: 5n });
  syncfs(fd);
  closeSync(fd);
  expect(statx(AT_FDCWD, folder.path).mountId).toBe(statx(folder.fd, "f").mountId);
  expect(statx(AT_FDCWD, "/proc").mountId).not.toBe(statx(AT_FDCWD, "/").mountId);
  expect(fileSystemType(folder.fd)).toBe(statfsSync(folder.path).type);
});

test("device nodes, FIFOs and owners", (context) => {
  needRoot(context);
  using folder = openFolder();
  mknodat(folder.fd, "block", 0o060_600, 259, 1_048_575);
  mknodat(folder.fd, "fifo", 0o010_600);
  fchownat(folder.fd, "fifo", 12_345, 54_321);
  expect(statx(folder.fd, "block")).toMatchObject({ deviceMajor: 259, deviceMinor: 1_048_575 });
  expect(run("stat", ["-c", "%t:%T", `${folder.path}/block`]).trim()).toBe("103:fffff");
  expect(statx(folder.fd, "fifo")).toMatchObject({ mode: 0o010_600, uid: 12_345, gid: 54_321 });
});

test("extended attributes of all lengths", (context) => {
  using folder = openFolder();
  writeFileSync(`${folder.path}/f`, "");
  const fd = openSync(`${folder.path}/f`, "r+");
  try {
    setXattr(fd, "user.probe", Buffer.from("x"));
  } catch {
    context.skip("needs a file system with extended attributes for TMPDIR");
  }
  const values = [0, 1, 255, 256, 2000].map((length) => Buffer.alloc(length, 7));
  for (const value of values) setXattr(fd, `user.n${value.length}`, value);
  for (const value of values) {
    expect(getXattr(fd, `user.n${value.length}`)).toEqual(value);
    expect(getXattr(`${folder.path}/f`, `user.n${value.length}`)).toEqual(value);
  }
  expect(listXattrs(fd).map(String).sort()).toEqual([
    "user.n0",
    "user.n1",
    "user.n2000",
    "user.n255",
    "user.n256",
    "user.probe",
  ]);
  expect(listXattrs(`${folder.path}/f`).length).toBe(6);
  removeXattr(fd, "user.probe");
  expect(getXattr(fd, "user.probe")).toBeUndefined();
  expect(() => setXattr(fd, "nonsense", Buffer.alloc(1))).toThrow(expect.objectContaining({ code: "ENOTSUP" }));
  closeSync(fd);
  symlinkSync("f", `${folder.path}/link`);
  expect(listXattrs(`${folder.path}/link`)).toEqual([]);
});

test("attributes of chattr", (context) => {
  needPrograms(context, "lsattr");
  using folder = openFolder();
  writeFileSync(`${folder.path}/f`, "");
  const fd = openSync(`${folder.path}/f`, "r");
  let flags = 0;
  try {
    flags = getFileFlags(fd);
    setFileFlags(fd, flags | 0x40);
  } catch {
    context.skip("needs a file system with chattr attributes for TMPDIR");
  }
  expect(getFileFlags(fd)).toBe(flags | 0x40);
  expect(run("lsattr", [`${folder.path}/f`])).toMatch(/^\S*d\S* /);
  closeSync(fd);
});

test("data and holes of a sparse file", () => {
  using folder = openFolder();
  const path = `${folder.path}/sparse`;
  writeFileSync(path, "");
  truncateSync(path, 4 * 1024 ** 2);
  const fd = openSync(path, "r+");
  expect(seekData(fd, 0, "data")).toBeUndefined();
  writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 1024 ** 2);
  expect(seekData(fd, 0, "data")).toBe(1024 ** 2);
  expect(seekData(fd, 1024 ** 2, "hole")).toBe(1024 ** 2 + 4096);
  closeSync(fd);
  expect(() => seekData(999_999, 0, "hole")).toThrow(expect.objectContaining({ code: "EBADF", syscall: "lseek" }));
});

test("users and groups as getent knows them; root is never named", (context) => {
  needPrograms(context, "getent");
  expect(userName(0)).toBeUndefined();
  expect(groupName(0)).toBeUndefined();
  expect(userName(4_000_000_000)).toBeUndefined();
  expect(userId("no such user")).toBeUndefined();
  expect(userId("root")).toBe(0);
  expect(groupId("root")).toBe(0);
  const [name, , uid] = run("getent", ["passwd", "daemon"]).split(":");
  expect(userName(Number(uid))).toBe(name);
  expect(userId("daemon")).toBe(Number(uid));
  const [group, , gid] = run("getent", ["group", "daemon"]).split(":");
  expect(groupName(Number(gid))).toBe(group);
  expect(groupId("daemon")).toBe(Number(gid));
});

test("importing the package does not load koffi", () => {
  const script = `
    await import("@imgtool/host");
    const { createRequire } = await import("node:module");
    const loaded = Object.keys(createRequire(import.meta.url).cache ?? {}).some((name) => name.includes("koffi"));
    process.stdout.write(String(loaded));`;
  const args = ["--conditions=@imgtool/source", "--input-type=module", "-e", script];
  expect(execFileSync(process.execPath, args, { cwd: import.meta.dirname, encoding: "utf8" })).toBe("false");
});

test("a descriptor that another process sends over a socket", (context) => {
  needPrograms(context, "python3");
  using folder = temporaryFolder();
  writeFileSync(folder.join("file"), "handed over");
  const [ours, theirs] = socketPair();
  try {
    expect(receiveDescriptor(ours)).toBeUndefined();
    const send = `import array, os, socket, sys
socket.socket(fileno=3).sendmsg([b"\\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [os.open(sys.argv[1], 0)]))])`;
    execFileSync("python3", ["-c", send, folder.join("file")], { stdio: ["ignore", "ignore", "inherit", theirs] });
    const received = receiveDescriptor(ours) ?? -1;
    expect(readFileSync(received, "utf8")).toBe("handed over");
    closeSync(received);
    // a message without a descriptor
    writeSync(theirs, "x");
    expect(receiveDescriptor(ours)).toBeUndefined();
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
  expect(() => receiveDescriptor(ours)).toThrow("EBADF");
});

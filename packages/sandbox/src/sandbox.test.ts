import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { AbortedError } from "@imgtool/core";
import { needPrograms, needRoot, run, runningProcesses, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { runInSandbox, runIsolated } from "./index.ts";

function needs(context: TestContext): void {
  needRoot(context);
  needPrograms(context, "bwrap", "unshare");
}

function script(folder: TemporaryFolder, text: string, name = "hook.sh"): string {
  const path = folder.join(name);
  writeFileSync(path, `#!/bin/sh\nset -eu\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A tree with a shell: the host's /bin/sh and the libraries it is linked against. */
function treeWithShell(folder: TemporaryFolder): string {
  const tree = folder.join("tree");
  for (const name of ["usr/bin", "usr/lib", "usr/lib64", "etc"]) mkdirSync(`${tree}/${name}`, { recursive: true });
  for (const name of ["bin", "lib", "lib64"]) symlinkSync(`usr/${name}`, `${tree}/${name}`);
  const copy = (path: string): void => {
    const target = `${tree}${path.startsWith("/usr/") ? path : `/usr${path}`}`;
    mkdirSync(target.replace(/\/[^/]*$/, ""), { recursive: true });
    copyFileSync(path, target);
  };
  for (const name of ["/bin/sh", "/bin/ls", "/bin/cat"]) {
    copy(name);
    for (const match of run("ldd", [name]).matchAll(/(\/\S+)/g)) copy(match[1] ?? "");
  }
  return tree;
}

test("a script beside the tree writes to it, and to nothing of the host", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  mkdirSync(folder.join("src"));
  writeFileSync(folder.join("src/note"), "from the project\n");
  const lines: string[] = [];
  await runInSandbox({
    script: script(
      folder,
      `umask; id -u; echo "$IMAGE_ID $1"; pwd
       cat /work/src/note > "$BUILDROOT/note"; chown 7:8 "$BUILDROOT/note"
       ! touch /usr/x 2>/dev/null; ! touch /work/src/x 2>/dev/null
       ls /; ls /home 2>/dev/null || true
       ls /sys/class/net 2>/dev/null || true
       grep -c : /proc/net/dev`,
    ),
    args: ["final"],
    tree: folder.join("tree"),
    binds: [{ source: folder.join("src"), target: "/work/src" }],
    env: { BUILDROOT: "/buildroot", IMAGE_ID: "thing" },
    onOutputLine: (line) => lines.push(line),
  });
  expect(lines.slice(0, 4)).toEqual(["0022", "0", "thing final", "/work"]);
  // Only the loopback device.
  expect(lines.at(-1)).toBe("1");
  expect(lines).not.toContain("home");
  expect(readFileSync(folder.join("tree/note"), "utf8")).toBe("from the project\n");
  expect([statSync(folder.join("tree/note")).uid, statSync(folder.join("tree/note")).gid]).toEqual([7, 8]);
});

test("a script in the tree sees the image as its root, and leaves no mount points", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const tree = treeWithShell(folder);
  const before = readdirSync(tree).sort();
  const lines: string[] = [];
  const path = script(folder, "echo yes > /etc/ran; ls /; cat /proc/self/comm", "hook.chroot");
  await runInSandbox({ script: path, tree, inside: true, onOutputLine: (line) => lines.push(line) });
  expect(lines).toEqual(["bin", "dev", "etc", "lib", "lib64", "proc", "run", "tmp", "usr", "work", "cat"]);
  expect(readFileSync(`${tree}/etc/ran`, "utf8")).toBe("yes\n");
  expect(readdirSync(tree).sort()).toEqual(before);
});

test("mkosi-chroot runs a program inside the image", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const tree = treeWithShell(folder);
  mkdirSync(`${tree}/run`);
  const before = readdirSync(tree).sort();
  const lines: string[] = [];
  await runInSandbox({
    script: script(folder, `mkosi-chroot sh -c 'ls /; exit 4' || echo "status $?"; ls -d /buildroot/proc || true`),
    tree,
    onOutputLine: (line) => lines.push(line),
  });
  expect(lines.slice(0, 11)).toEqual([..."bin dev etc lib lib64 proc run tmp usr work".split(" "), "status 4"]);
  expect(lines.at(-1)).toMatch(/No such file/);
  expect(readdirSync(tree).sort()).toEqual(before);
});

test.for(["mkosi-chroot", "script.chroot"])(
  "%s has what mkosi gives to programs in the image",
  async (way, context) => {
    needs(context);
    using folder = temporaryFolder();
    const tree = treeWithShell(folder);
    mkdirSync(folder.join("src"));
    const text = `pwd; echo "$HOME $container $BUILDROOT"; cat /run/host/container-manager; echo; ls -d /run/user/0
    cat /proc/self/comm; echo "resolver $(cat /etc/resolv.conf 2>&1)"`;
    const inside = way === "script.chroot";
    const report = async (network: boolean): Promise<string[]> => {
      const lines: string[] = [];
      await runInSandbox({
        script: script(folder, inside ? text : `mkosi-chroot sh -euc '${text}'`, inside ? "x.chroot" : "x"),
        tree,
        inside,
        network,
        workdir: "/work/src",
        binds: [{ source: folder.join("src"), target: "/work/src" }],
        env: { BUILDROOT: inside ? "/" : "/buildroot" },
        onOutputLine: (line) => lines.push(line),
      });
      return lines;
    };
    if (!existsSync("/etc/resolv.conf")) context.skip("needs /etc/resolv.conf");
    const hosts = `resolver ${readFileSync("/etc/resolv.conf", "utf8").split("\n")[0]}`;
    const before = readdirSync(`${tree}/etc`);
    const common = ["/work/src", "/ mkosi /", "mkosi", "/run/user/0", "cat"];
    expect((await report(true)).slice(0, 6)).toEqual([...common, hosts]);
    expect((await report(false)).slice(0, 6)).toEqual([...common, expect.stringMatching(/No such file/)]);
    expect(readdirSync(`${tree}/etc`)).toEqual(before);
    // systemd-resolved's, which leads to nothing yet.
    symlinkSync("../run/systemd/resolve/stub-resolv.conf", `${tree}/etc/resolv.conf`);
    expect((await report(true))[5]).toEqual(hosts);
    rmSync(`${tree}/etc/resolv.conf`);
    writeFileSync(`${tree}/etc/resolv.conf`, "the image's\n");
    expect((await report(false))[5]).toBe("resolver the image's");
    await report(true);
    expect(readFileSync(`${tree}/etc/resolv.conf`, "utf8")).toBe("the image's\n");
  },
);

test("accounts that a script makes are the image's, and mkosi-as-caller runs what it is given", async (context) => {
  needs(context);
  needPrograms(context, "useradd", "groupadd");
  using folder = temporaryFolder();
  const tree = treeWithShell(folder);
  mkdirSync(`${tree}/home`);
  const accounts = {
    passwd: "root:x:0:0::/root:/bin/sh\n",
    group: "root:x:0:\n",
    shadow: "root:*:1::::::\n",
    gshadow: "root:*::\n",
  };
  for (const [name, text] of Object.entries(accounts)) writeFileSync(`${tree}/etc/${name}`, text);
  const lines: string[] = [];
  await runInSandbox({
    script: script(
      folder,
      `groupadd --system --gid 700 things
       useradd --system --uid 701 --gid things --no-create-home --shell /bin/sh thing
       mkosi-as-caller A=b sh -c 'echo "$A $1"' sh "two words"`,
    ),
    tree,
    onOutputLine: (line) => lines.push(line),
  });
  expect(lines.at(-1)).toBe("b two words");
  expect(readFileSync(`${tree}/etc/group`, "utf8")).toBe("root:x:0:\nthings:x:700:\n");
  expect(readFileSync(`${tree}/etc/passwd`, "utf8")).toMatch(/^thing:x:701:700::.*:\/bin\/sh$/m);
  // This machine has none of them.
  expect(readFileSync("/etc/passwd", "utf8")).not.toMatch(/^thing:/m);
});

test("a failing script is named, with its status and its last lines", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const path = script(folder, "echo first; echo last words >&2; exit 3");
  await expect(runInSandbox({ script: path, tree: folder.path })).rejects.toMatchObject({
    name: "ProcessError",
    code: "script-failed",
    message: expect.stringMatching(/hook\.sh exited with 3:\n(.*\n)?.*/) as unknown,
    data: { script: path, exitCode: 3, output: expect.stringContaining("last words") as unknown },
  });
  chmodSync(path, 0o644);
  await expect(runInSandbox({ script: path, tree: folder.path })).rejects.toMatchObject({
    code: "script-not-executable",
    hint: `chmod +x ${path}`,
  });
});

test("an abort kills all that the script started and leaves nothing mounted", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const controller = new AbortController();
  const path = script(
    folder,
    `trap '' TERM INT; mount -t tmpfs tmpfs /buildroot; echo mounted
     (trap '' TERM; while :; do sleep 0.1; done; : ${folder.path}) & wait; while :; do sleep 1; done`,
  );
  const started = Date.now();
  const running = runInSandbox({
    script: path,
    tree: folder.join("tree"),
    signal: controller.signal,
    onOutputLine: (line) => {
      if (line === "mounted") controller.abort();
    },
  });
  await expect(running).rejects.toBeInstanceOf(AbortedError);
  expect(Date.now() - started).toBeLessThan(5000);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(mounts);
  expect(runningProcesses(path)).toEqual([]);
  expect(existsSync(folder.join("tree"))).toBe(true);
});

test("an isolated host program keeps its mounts to itself", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const shell = `mount -t tmpfs tmpfs "$1"; touch "$1/in"; umask; ls "$1"`;
  const result = await runIsolated("sh", ["-euc", shell, "sh", folder.path]);
  expect(result.stdout).toBe("0022\nin\n");
  expect(readdirSync(folder.path)).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(mounts);
});

test("flushes to the disk succeed without being done", async (context) => {
  needs(context);
  needPrograms(context, "python3");
  // No file has the descriptor 999: the real call would fail.
  const program = "import os; os.fsync(999); os.fdatasync(999); os.sync(); os.write(1, b'done')";
  expect((await runIsolated("python3", ["-c", program])).stdout).toBe("done");
});

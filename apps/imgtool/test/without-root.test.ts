/** What an ordinary user does: builds in a user namespace, the same bytes as root, and mounts. */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { needPrograms, needRoot, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { checkout, type CliRun, expectError } from "./cli.ts";

const system = { tags: ["system"] };
const user = { name: "imgtool-builder", uid: 54321 };

function need(context: TestContext): void {
  // Root makes the user; nothing that the user runs is root's.
  needRoot(context);
  needPrograms(context, "bwrap", "setpriv", "unshare", "newuidmap", "mount");
}

/**
 * Makes an ordinary user who exists only in a mount namespace: with a home, a checkout he may read,
 * and, where asked, subordinate ids. Returns a function that runs a shell script as him.
 */
function ordinaryUser(folder: TemporaryFolder, subordinateIds: boolean): (script: string) => CliRun {
  chmodSync(folder.path, 0o755);
  for (const name of ["home", "checkout", "etc"]) mkdirSync(folder.join(name));
  chownSync(folder.join("home"), user.uid, user.uid);
  for (const name of ["passwd", "group", "subuid", "subgid"]) {
    const copy = folder.join("etc", name);
    if (existsSync(`/etc/${name}`)) copyFileSync(`/etc/${name}`, copy);
    else writeFileSync(copy, "");
    chmodSync(copy, 0o644);
  }
  appendFileSync(folder.join("etc/passwd"), `${user.name}:x:${user.uid}:${user.uid}::${folder.join("home")}:/bin/sh\n`);
  appendFileSync(folder.join("etc/group"), `${user.name}:x:${user.uid}:\n`);
  for (const name of ["subuid", "subgid"]) {
    if (subordinateIds) appendFileSync(folder.join("etc", name), `${user.name}:1000000:65536\n`);
    if (!existsSync(`/etc/${name}`)) writeFileSync(`/etc/${name}`, "");
  }
  const mounts = ["passwd", "group", "subuid", "subgid"].map(
    (name) => `mount --bind ${folder.join("etc", name)} /etc/${name}`,
  );
  const enter = [
    "set -e",
    ...mounts,
    `mount --bind ${checkout} ${folder.join("checkout")}`,
    `cd ${folder.join("home")}`,
    `exec setpriv --reuid ${user.uid} --regid ${user.uid} --clear-groups --inh-caps=-all --reset-env sh -c "$0"`,
  ].join("\n");
  return (script) => {
    const result = spawnSync("unshare", ["--mount", "sh", "-c", enter, `cd ${folder.join("home")}\n${script}`], {
      encoding: "utf8",
      maxBuffer: 64 * 1024 ** 2,
    });
    return { exitCode: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
  };
}

/** A project without packages; its image is a directory. */
const customProject = `
mkdir -p mkosi.skeleton/usr/bin
echo hello >mkosi.skeleton/usr/bin/hello
printf '[Distribution]\\nDistribution=custom\\n[Output]\\nFormat=directory\\nOutput=thing\\n' >mkosi.conf
`;

test("the whole demo as an ordinary user, and the image is the one that root builds", system, (context) => {
  need(context);
  needPrograms(context, "mmdebstrap", "casync");
  using folder = temporaryFolder();
  const run = ordinaryUser(folder, true);
  const tree = folder.join("checkout");
  const demo = run(
    `${tree}/node_modules/.bin/node --conditions=@imgtool/source ${tree}/scripts/demo.ts --output=$HOME/demo`,
  );
  expect(demo.exitCode, demo.stderr + demo.stdout).toBe(0);
  expect(demo.stderr).toContain("the fetched image is byte for byte the one that was built");
  const project = folder.join("home/demo/minimal");
  const digest = /^[0-9a-f]{64} .minimal_2\.raw$/m.exec(
    readFileSync(join(project, "mkosi.output/minimal_2.SHA256SUMS"), "utf8"),
  )?.[0];
  expect(digest).toBeDefined();
  // The same project and package cache; root's own output directory.
  const output = folder.join("by-root");
  const build = ["build", "-C", project, "--image-version=2", "-p", "nano", `--output-directory=${output}`];
  const byRoot = spawnSync(join(checkout, "imgtool"), build, { encoding: "utf8" });
  expect(byRoot.status, byRoot.stderr).toBe(0);
  expect(readFileSync(join(output, "minimal_2.SHA256SUMS"), "utf8")).toContain(digest);
});

test("an image that is a directory belongs to the namespace's users, and clean removes it", system, (context) => {
  need(context);
  using folder = temporaryFolder();
  const run = ordinaryUser(folder, true);
  const imgtool = folder.join("checkout/imgtool");
  const script = `#!/bin/sh\ntouch "$BUILDROOT/owned"\nchown 33:44 "$BUILDROOT/owned"\n`;
  const built = run(`${customProject}
printf '${script.replaceAll("\n", "\\n")}' >mkosi.postinst
chmod +x mkosi.postinst
${imgtool} build && stat -c '%u:%g' thing thing/usr/bin/hello thing/owned`);
  expect(built.exitCode, built.stderr).toBe(0);
  // Root of the image is the user; id 33 is the 33rd of his subordinate ids.
  expect(built.stdout).toContain(`${user.uid}:${user.uid}\n${user.uid}:${user.uid}\n1000032:1000043\n`);
  const published = run(`${imgtool} publish www && ${imgtool} mtree www/thing.caidx`);
  expect(published.exitCode, published.stderr).toBe(0);
  expect(published.stdout).toMatch(/owned .*uid=33 gid=44/);
  const cleaned = run(`${imgtool} clean && ls -A`);
  expect(cleaned.exitCode, cleaned.stderr).toBe(0);
  expect(cleaned.stdout).not.toMatch(/^thing/m);
});

test(
  "without subordinate ids: what belongs to root alone is built, packages are refused beforehand",
  system,
  (context) => {
    need(context);
    using folder = temporaryFolder();
    const run = ordinaryUser(folder, false);
    const imgtool = folder.join("checkout/imgtool");
    const built = run(`${customProject}\n${imgtool} build && cat thing/usr/bin/hello`);
    expect(built.exitCode, built.stderr).toBe(0);
    expect(built.stdout).toContain("hello");
    expectError(
      run(`${imgtool} build --distribution=debian --release=bookworm -f`),
      6,
      /subordinate user ids/,
      /usermod/,
    );
  },
);

test("a command that begins again in a user namespace says its warnings once", system, (context) => {
  need(context);
  using folder = temporaryFolder();
  const run = ordinaryUser(folder, true);
  const imgtool = `${folder.join("checkout")}/imgtool`;
  const shell = run(`${customProject} printf '[Content]\\nWithNetwork=yes\\n' >>mkosi.conf\n${imgtool} shell`);
  expectError(shell, 6, "running a container needs root");
  // It has built the image before, as root of the namespace.
  expect(existsSync(folder.join("home/thing/usr/bin/hello"))).toBe(true);
  expect(shell.stderr.match(/WithNetwork= belongs into \[Build\]/g)).toHaveLength(1);
  const build = run(`${imgtool} build --force`);
  expect(build.stderr.match(/WithNetwork= belongs into \[Build\]/g)).toHaveLength(1);
});

test("user namespaces that are switched off are named", system, (context) => {
  need(context);
  using folder = temporaryFolder();
  const run = ordinaryUser(folder, true);
  // A namespace in which there may be no other, and in it a user who is not its root.
  const inside = `echo 0 >/proc/sys/user/max_user_namespaces
exec setpriv --reuid 1 --regid 1 --clear-groups ${folder.join("checkout/imgtool")} build`;
  const refused = run(`${customProject}\nunshare --user --map-root-user --map-auto sh -c '${inside}'`);
  expect(refused.stdout).toBe("");
  expectError(refused, 6, /user namespace/, /sudo/);
});

test("a user mounts an archive through fusermount3, and sees all of it", system, (context) => {
  need(context);
  needPrograms(context, "casync", "fusermount3", "setfacl", "setfattr", "getfattr");
  if (!existsSync("/dev/fuse")) context.skip("needs /dev/fuse");
  using folder = temporaryFolder();
  const run = ordinaryUser(folder, false);
  const imgtool = folder.join("checkout/imgtool");
  const plant = `mkdir tree && cd tree && echo secret >private && chmod 600 private && mknod null c 1 3 && mkfifo fifo
ln -s private link && chown 33:44 private && setfacl -m u:1234:rw private && setfattr -n user.note -v value private
mkdir sub && chmod 700 sub && seq 100000 >sub/large
cd .. && ${join(checkout, "imgtool")} make --durable=no tree.caidx tree >/dev/null && casync digest tree
getfattr -d -m - tree/private`;
  const planted = spawnSync("sh", ["-c", plant], { cwd: folder.path, encoding: "utf8" });
  expect(planted.status, planted.stderr).toBe(0);
  const mount = `rm -f told; mkfifo told; ${imgtool} mount ../tree.caidx mnt >told & read -r words <told`;
  // Ended by a signal, then by fusermount3.
  const mounted = run(`set -e
${mount}
casync digest mnt; getfattr -d -m - mnt/private | sed s:mnt/:tree/:
stat -c '%n %F %u:%g' mnt/private mnt/null mnt/fifo mnt/link; cat mnt/private
kill -TERM $!; wait $!; echo ended by the signal
grep home/mnt /proc/mounts || mkdir mnt
${mount}
seq 100000 | cmp - mnt/sub/large
fusermount3 -u mnt; wait $!; echo ended`);
  expect(mounted.exitCode, mounted.stderr).toBe(0);
  expect(mounted.stdout).toBe(`${planted.stdout}\
mnt/private regular file 33:44
mnt/null character special file 0:0
mnt/fifo fifo 0:0
mnt/link symbolic link 0:0
secret
ended by the signal
ended
`);
  expectError(run(`mkdir mnt; ${imgtool} mount --trusted ../tree.caidx mnt`), 6, /only root/, /run as root/);
  // A directory that is not his.
  expectError(run(`${imgtool} mount ../tree.caidx /usr`), 6, /cannot mount on \/usr: /, /empty directory of yours/);
});

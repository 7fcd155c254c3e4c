import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import type { ImageConfig } from "@imgtool/config";
import { needPrograms, needRoot, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { build } from "../src/index.ts";
import { testConfig } from "./config.ts";

/** Enough of a policy for checkpolicy(8) to make one of the form that setfiles(8) verifies labels with. */
const policy = `class file
class dir
class process
sid kernel
class file { read write }
class dir { read }
class process { fork }
type etc_t;
type default_t;
role system_r;
role object_r;
role system_r types { etc_t default_t };
allow etc_t default_t:file read;
user system_u roles { system_r object_r };
sid kernel system_u:system_r:default_t
fs_use_xattr ext4 system_u:object_r:default_t;
`;

function project(context: TestContext, changes: Partial<ImageConfig> = {}): [TemporaryFolder, ImageConfig] {
  needRoot(context);
  const folder = temporaryFolder();
  mkdirSync(folder.join("skeleton/usr/lib"), { recursive: true });
  mkdirSync(folder.join("skeleton/etc"));
  writeFileSync(folder.join("skeleton/usr/lib/os-release"), "ID=custom\n");
  return [
    folder,
    testConfig(folder.path, { skeletonTrees: [{ source: folder.join("skeleton"), target: "/" }], ...changes }),
  ];
}

test("SELinuxRelabel= gives files the labels of the image's policy", { tags: ["system"] }, async (context) => {
  needPrograms(context, "setfiles", "checkpolicy", "getfattr", "casync");
  const [folder, config] = project(context, { selinuxRelabel: "enabled" });
  using _folder = folder;
  await expect(build(config)).rejects.toMatchObject({ code: "selinux-policy-missing" });
  // What an image need not have is no error where nobody asked for it.
  await build({ ...config, selinuxRelabel: "auto" });
  const place = folder.join("skeleton/etc/selinux/tiny");
  mkdirSync(`${place}/contexts/files`, { recursive: true });
  mkdirSync(`${place}/policy`);
  writeFileSync(folder.join("policy.conf"), policy);
  run("checkpolicy", ["-c", "33", "-o", `${place}/policy/policy.33`, folder.join("policy.conf")]);
  writeFileSync(folder.join("skeleton/etc/selinux/config"), 'SELINUX=enforcing\nSELINUXTYPE="tiny"\n');
  const contexts = "/.*\tsystem_u:object_r:default_t\n/etc(/.*)?\tsystem_u:object_r:etc_t\n";
  writeFileSync(`${place}/contexts/files/file_contexts`, contexts);
  await build(config, { force: true });
  const labels = run("getfattr", ["-h", "-n", "security.selinux", "etc/selinux/config", "usr/lib"], {
    cwd: folder.join("out/thing"),
  });
  expect(labels).toContain('# file: etc/selinux/config\nsecurity.selinux="system_u:object_r:etc_t"');
  expect(labels).toContain('# file: usr/lib\nsecurity.selinux="system_u:object_r:default_t"');
  // A label that the policy does not know.
  writeFileSync(`${place}/contexts/files/file_contexts`, contexts.replace("etc_t", "unknown_t"));
  await expect(build(config, { force: true })).rejects.toMatchObject({ code: "label-failed" });
  await build({ ...config, selinuxRelabel: "disabled" }, { force: true });
});

test("Ssh= writes units that need an sshd", async (context) => {
  const [folder, config] = project(context, { ssh: true });
  using _folder = folder;
  await expect(build(config)).rejects.toMatchObject({
    code: "sshd-missing",
    hint: expect.stringContaining("openssh") as string,
  });
  mkdirSync(folder.join("skeleton/usr/bin"));
  writeFileSync(folder.join("skeleton/usr/bin/sshd"), "", { mode: 0o755 });
  await build(config);
  const units = folder.join("out/thing/usr/lib/systemd/system");
  expect(readFileSync(`${units}/ssh.socket`, "utf8")).toContain("ListenStream=vsock::22");
  expect(readFileSync(`${units}/ssh@.service`, "utf8")).toContain("StandardInput=socket");
  expect(readFileSync(folder.join("out/thing/usr/lib/systemd/system-preset/80-imgtool-ssh.preset"), "utf8")).toBe(
    "enable ssh.socket\n",
  );
});

test("the image has a link of its name without extension", async (context) => {
  const [folder, config] = project(context, { format: "tar", compressOutput: "zstd" });
  using _folder = folder;
  await build(config);
  expect(readlinkSync(folder.join("out/thing"))).toBe("thing.tar.zst");
  await build({ ...config, compressOutput: "none" }, { force: true });
  expect(readlinkSync(folder.join("out/thing"))).toBe("thing.tar");
  // The name may be a folder's.
  await build({ ...config, format: "directory" }, { force: true });
  expect(readFileSync(folder.join("out/thing/usr/lib/os-release"), "utf8")).toContain("ID=custom");
});

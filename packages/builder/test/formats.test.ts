/** Formats that other programs take in, judged by these: systemd-dissect, systemd-pull, skopeo, umoci, gpg, sha256sum. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import type { ImageConfig } from "@imgtool/config";
import {
  needPrograms,
  needRoot,
  run,
  temporaryFolder,
  testCertificate,
  testKey,
  tryRun,
  type TemporaryFolder,
} from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { build } from "../src/index.ts";
import { testConfig } from "./config.ts";

function needs(context: TestContext, ...programs: readonly string[]): void {
  needRoot(context);
  needPrograms(context, ...programs);
}

interface Project extends TemporaryFolder {
  readonly config: ImageConfig;
  readonly tree: string;
}

function project(changes: Partial<ImageConfig> = {}): Project {
  const folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  const tree = folder.join("tree");
  const files = {
    "usr/lib/os-release": "ID=debian\nVERSION_ID=12\n",
    "usr/lib/systemd/system/thing.service": "[Service]\nExecStart=/usr/bin/thing\n",
    "usr/bin/thing": "#!/bin/sh\n",
    "etc/thing.conf": "a=1\n",
    "etc/machine-id": "uninitialized\n",
    "etc/resolv.conf": "",
  };
  for (const name of ["opt", "proc", "sys", "dev", "run", "tmp", "var/tmp"])
    mkdirSync(`${tree}/${name}`, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(`${tree}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    writeFileSync(`${tree}/${name}`, text);
  }
  symlinkSync("usr/bin", `${tree}/bin`);
  const config = testConfig(folder.path, { skeletonTrees: [{ source: tree, target: "/" }], ...changes });
  return Object.assign(folder, { config, tree });
}

const fields = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split("=", 2) as [string, string]),
  );

test(
  "system and configuration extensions hold their part of the tree, and say what they fit",
  { tags: ["system"] },
  async (context) => {
    needs(context, "systemd-dissect", "fsck.erofs", "veritysetup");
    for (const [format, release, there, absent] of [
      ["sysext", "usr/lib/extension-release.d/extension-release.thing", "usr/bin/thing", ["etc", "usr/lib/os-release"]],
      ["confext", "etc/extension-release.d/extension-release.thing", "etc/thing.conf", ["usr"]],
    ] as const) {
      using folder = project({ format, verity: "hash" });
      const record = await build(folder.config);
      const [disk] = record.artifacts;
      expect(record.artifacts.map(({ kind }) => kind)).toEqual(["disk", "roothash", "checksums"]);
      expect(disk?.partitions?.map(({ type }) => type)).toEqual(["root-x86-64", "root-x86-64-verity"]);
      const root = disk?.partitions?.[0];
      const image = folder.join("out/thing.raw");
      run("dd", [
        `if=${image}`,
        `of=${folder.join("root")}`,
        "iflag=skip_bytes,count_bytes",
        `skip=${root?.offset}`,
        `count=${root?.size}`,
        "status=none",
      ]);
      mkdirSync(folder.join("x"));
      run("fsck.erofs", [`--extract=${folder.join("x")}`, folder.join("root")]);
      expect(existsSync(folder.join("x", there))).toBe(true);
      for (const path of absent) expect([path, existsSync(folder.join("x", path))]).toEqual([path, false]);
      const prefix = format.toUpperCase();
      expect(fields(readFileSync(folder.join("x", release), "utf8"))).toEqual({
        ID: "debian",
        VERSION_ID: "12",
        [`${prefix}_ID`]: "thing",
        [`${prefix}_VERSION_ID`]: "1",
        [`${prefix}_SCOPE`]: '"initrd system portable"',
        ARCHITECTURE: "x86-64",
      });
      // Version 252 knows system extensions; what it cannot do without loop devices it says by another status.
      const dissected = tryRun("systemd-dissect", ["--json=short", image]);
      expect(dissected.stderr).not.toMatch(/not a valid|Failed to read|no suitable/i);
    }
  },
);

test("a portable service is a root with a signature that verifies it", { tags: ["system"] }, async (context) => {
  needs(context, "systemd-dissect", "openssl");
  using folder = project({ format: "portable", verity: "signed" });
  writeFileSync(folder.join("key"), testKey);
  writeFileSync(folder.join("crt"), testCertificate);
  const config = { ...folder.config, verityKey: folder.join("key"), verityCertificate: folder.join("crt") };
  const record = await build(config);
  expect(record.artifacts[0]?.partitions?.map(({ type }) => type)).toEqual([
    "root-x86-64",
    "root-x86-64-verity",
    "root-x86-64-verity-sig",
  ]);
  const { rootHash = "" } = record.artifacts[0] ?? {};
  writeFileSync(folder.join("hash"), rootHash);
  const verified = [
    "-binary",
    "-inform",
    "DER",
    "-in",
    folder.join("out/thing.roothash.p7s"),
    "-content",
    folder.join("hash"),
  ];
  run("openssl", ["smime", "-verify", "-noverify", "-certfile", folder.join("crt"), "-nointern", ...verified]);
});

test("Verity=defer leaves room for a signature: with it the disk is the one that is signed at once", async (context) => {
  needs(context);
  using folder = project({ format: "portable", verity: "defer" });
  const { artifacts } = await build(folder.config);
  const image = folder.join("out", artifacts[0]?.path ?? "");
  const deferred = readFileSync(image);
  const { offset = 0, size = 0 } =
    artifacts[0]?.partitions?.find(({ type }) => type === "root-x86-64-verity-sig") ?? {};
  expect(size).toBe(16384);
  expect(deferred.subarray(offset, offset + size).every((byte) => byte === 0)).toBe(true);
  // What is to be signed.
  expect(readFileSync(folder.join("out/thing.roothash"), "utf8")).toBe(`${artifacts[0]?.rootHash ?? ""}\n`);
  expect(existsSync(folder.join("out/thing.roothash.p7s"))).toBe(false);

  writeFileSync(folder.join("key"), testKey);
  writeFileSync(folder.join("crt"), testCertificate);
  const keys = { verityKey: folder.join("key"), verityCertificate: folder.join("crt") };
  await build({ ...folder.config, ...keys }, { force: true });
  expect(readFileSync(image).equals(deferred)).toBe(true);
  await build({ ...folder.config, ...keys, verity: "signed" }, { force: true });
  const signed = readFileSync(image);
  expect(signed.subarray(offset, offset + 12).toString()).toBe('{"rootHash":');
  signed.copy(deferred, offset, offset, offset + size);
  expect(signed.equals(deferred)).toBe(true);
});

test(
  "an OCI image is one that skopeo copies and umoci unpacks, and the same each time",
  { tags: ["system"] },
  async (context) => {
    needs(context, "skopeo", "umoci");
    const digests: string[] = [];
    for (const compressOutput of ["gzip", "gzip", "none", "zstd"] as const) {
      using folder = project({
        format: "oci",
        compressOutput,
        ociLabels: { maintainer: "me" },
        ociAnnotations: { "org.example.note": "x" },
      });
      const record = await build(folder.config);
      expect(record.artifacts[0]?.kind).toBe("directory");
      const layout = folder.join("out/thing");
      const inspected = JSON.parse(run("skopeo", ["inspect", `oci:${layout}`])) as Record<string, unknown>;
      expect(inspected).toMatchObject({ Architecture: "amd64", Os: "linux", Labels: { maintainer: "me" } });
      run("skopeo", ["copy", "--insecure-policy", "--quiet", `oci:${layout}`, `dir:${folder.join("copy")}`]);
      digests.push(run("sha256sum", ["index.json"], { cwd: layout }));
      if (compressOutput !== "gzip") continue;
      run("umoci", ["unpack", "--image", `${layout}:1`, folder.join("bundle")]);
      expect(readFileSync(folder.join("bundle/rootfs/etc/thing.conf"), "utf8")).toBe("a=1\n");
      expect(lstatSync(folder.join("bundle/rootfs/bin")).isSymbolicLink()).toBe(true);
    }
    expect(digests[1]).toBe(digests[0]);
  },
);

test(
  "a disk in the files of virtual machines, which hold the same and are the same each time",
  { tags: ["system"] },
  async (context) => {
    needs(context, "qemu-img");
    using raw = project({ format: "disk", rootFilesystem: "erofs" });
    await build(raw.config);
    for (const diskFile of ["qcow2", "vmdk", "vhdx"] as const) {
      const digests: string[] = [];
      for (let round = 0; round < 2; round++) {
        using folder = project({ format: "disk", rootFilesystem: "erofs", diskFile });
        const record = await build(folder.config);
        expect(record.artifacts[0]?.path).toBe(`thing.${diskFile}`);
        const image = folder.join(`out/thing.${diskFile}`);
        run("qemu-img", ["compare", "-f", "raw", "-F", diskFile, raw.join("out/thing.raw"), image]);
        const checked = tryRun("qemu-img", ["check", "-q", "-f", diskFile, image]);
        expect([diskFile, checked.status, checked.stderr]).toEqual([diskFile, 0, ""]);
        digests.push(run("sha256sum", [`thing.${diskFile}`], { cwd: folder.join("out") }));
      }
      expect(digests[1]).toBe(digests[0]);
    }
  },
);

test(
  "SHA256SUMS is signed by the key that Key= names, and systemd-pull trusts it; without a secret key nothing is built",
  { tags: ["system"] },
  async (context) => {
    needs(context, "gpg", "sha256sum", "bwrap");
    if (!existsSync(pull)) context.skip(`needs ${pull}`);
    using keys = temporaryFolder();
    const former = process.env["GNUPGHOME"];
    process.env["GNUPGHOME"] = keys.path;
    try {
      using folder = project({
        format: "disk",
        rootFilesystem: "erofs",
        sign: true,
        openPgpKey: "test@example.org",
      });
      writeFileSync(folder.join("settings"), "[Exec]\nBoot=yes\n");
      const config = { ...folder.config, nspawnSettings: folder.join("settings") };
      await expect(build(config)).rejects.toMatchObject({ code: "signing-key-missing" });
      expect(existsSync(folder.join("out/thing.raw"))).toBe(false);
      run("gpg", [
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--quick-gen-key",
        "test@example.org",
        "ed25519",
        "sign",
        "never",
      ]);
      const record = await build(config);
      expect(record.artifacts.map(({ kind }) => kind)).toEqual([
        "disk",
        "nspawn-settings",
        "checksums",
        "checksums-signature",
      ]);
      run("gpg", ["--verify", "thing.SHA256SUMS.gpg", "thing.SHA256SUMS"], { cwd: folder.join("out") });
      run("sha256sum", ["--check", "--quiet", "thing.SHA256SUMS"], { cwd: folder.join("out") });
      await pullImage(folder, keys);
      for (const name of ["thing.raw", "thing.nspawn"])
        expect(readFileSync(folder.join("pulled", name)).equals(readFileSync(folder.join("out", name))), name).toBe(
          true,
        );
      appendFileSync(folder.join("out/thing.raw"), "x");
      await expect(pullImage(folder, keys)).rejects.toThrow(/Checksum of thing\.raw file did not check out/);
    } finally {
      tryRun("gpgconf", ["--kill", "all"]);
      if (former === undefined) delete process.env["GNUPGHOME"];
      else process.env["GNUPGHOME"] = former;
    }
  },
);

const pull = "/usr/lib/systemd/systemd-pull";

/**
 * Downloads the image into `pulled` by systemd-pull, which knows the keyring's key alone.
 *
 * Version 252 asks for all files at once and takes note of one finished download at a time: where two finish
 * together, as half of the times from a server that answers at once, it waits for ever. Answers come apart,
 * and where that was not enough it is started again.
 */
async function pullImage(folder: TemporaryFolder, keys: TemporaryFolder): Promise<void> {
  writeFileSync(keys.join("ring"), Buffer.from(run("sh", ["-c", "gpg --export | base64 -w0"]), "base64"));
  mkdirSync(folder.join("pulled"), { recursive: true });
  let former: Promise<unknown> = Promise.resolve();
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      const path = folder.join("out", basename(request.url ?? ""));
      if (!existsSync(path)) response.writeHead(404).end();
      else response.end(readFileSync(path));
      await setTimeout(100);
    };
    former = former.then(answer);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/thing.raw`;
    const ring = ["--ro-bind", keys.join("ring"), "/usr/lib/systemd/import-pubring.gpg"];
    const args = ["raw", "--verify=signature", "--force", `--image-root=${folder.join("pulled")}`, url, "thing"];
    const sandbox = ["--die-with-parent", "--dev-bind", "/", "/", ...ring];
    for (let attempt = 1; ; attempt++) {
      try {
        await promisify(execFile)("bwrap", [...sandbox, pull, ...args], { timeout: 20_000 });
        return;
      } catch (error) {
        const hangs = (error as { killed?: boolean }).killed === true;
        if (!hangs || attempt === 5) throw error;
      }
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("parts of a disk stand beside it, byte for byte", { tags: ["system"] }, async (context) => {
  needs(context, "cmp", "tar");
  using folder = project({
    format: "disk",
    verity: "hash",
    rootFilesystem: "erofs",
    splitArtifacts: ["partitions", "os-release", "tar", "uki", "kernel", "initrd"],
  });
  writeFileSync(folder.join("settings"), "[Exec]\nBoot=yes\n");
  const record = await build({ ...folder.config, nspawnSettings: folder.join("settings") });
  const out = (name: string): string => folder.join("out", name);
  expect(readdirSync(folder.join("out")).sort()).toEqual([
    "SHA256SUMS",
    "thing",
    "thing.SHA256SUMS",
    "thing.build.json",
    "thing.nspawn",
    "thing.osrelease",
    "thing.raw",
    "thing.root-x86-64-verity.raw",
    "thing.root-x86-64.raw",
    "thing.roothash",
    "thing.tar",
  ]);
  const disk = record.artifacts.find(({ kind }) => kind === "disk");
  for (const { splitName, offset, size } of disk?.partitions ?? []) {
    const part = out(`thing.${splitName}.raw`);
    expect(lstatSync(part).size).toBe(size);
    run("cmp", [`--ignore-initial=${offset}:0`, `--bytes=${size}`, out("thing.raw"), part]);
  }
  expect(readFileSync(out("thing.nspawn"), "utf8")).toBe("[Exec]\nBoot=yes\n");
  run("sha256sum", ["--check", "--strict", "thing.SHA256SUMS"], { cwd: folder.join("out") });
  expect(readFileSync(out("thing.osrelease"), "utf8")).toContain("ID=debian");
  expect(run("tar", ["-tf", out("thing.tar")])).toContain("./etc/thing.conf\n");
});

test("an image on base trees; with Overlay=yes only what was added", async (context) => {
  needs(context, "bwrap");
  using base = project();
  await build(base.config);
  using folder = project({ baseTrees: [base.join("out/thing")], overlay: true });
  writeFileSync(`${folder.tree}/etc/thing.conf`, "a=2\n");
  mkdirSync(`${folder.tree}/usr/share/new`, { recursive: true });
  writeFileSync(`${folder.tree}/usr/share/new/file`, "new");
  await build(folder.config);
  const found = run("find", [".", "-type", "f"], { cwd: folder.join("out/thing") });
  expect(found.trim().split("\n").sort()).toEqual(["./etc/thing.conf", "./usr/share/new/file"]);
  await expect(build({ ...folder.config, baseTrees: [], output: "other" })).rejects.toMatchObject({
    code: "overlay-without-base",
  });
});

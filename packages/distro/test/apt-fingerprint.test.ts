import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { silentProgress } from "@imgtool/core";
import { distributionFor, type InstallOptions } from "@imgtool/distro";
import { needPrograms, temporaryFolder } from "@imgtool/testkit";
import { makeSigningKey, serveFolder, type TestPackage } from "@imgtool/testkit/repositories";
import { expect, test } from "vitest";
import { AptRoot } from "../src/apt.ts";
import { ubuntu } from "../src/debian.ts";
import { place } from "./contract.ts";
import { makeDebRepository } from "./deb-repository.ts";

const seconds = 30_000;

test(
  "what would be installed is known by its lists, and chosen anew when they change",
  { tags: ["system"], timeout: seconds },
  async (context) => {
    needPrograms(context, "apt-get", "mmdebstrap", "bwrap", "gpg", "dpkg-deb", "apt-ftparchive");
    using folder = temporaryFolder();
    const key = makeSigningKey(folder.join("key"));
    place(folder.join("sandbox/usr/share/keyrings/ubuntu-archive-keyring.gpg"), readFileSync(key.binary));
    const mirror = folder.join("mirror");
    let count = 0;
    const publish = async (version: string): Promise<void> => {
      rmSync(mirror, { recursive: true, force: true });
      const common: Omit<TestPackage, "name"> = { version: "1", depends: [], provides: [], files: {} };
      const packages = [
        { ...common, name: "tool", depends: ["library"] },
        { ...common, name: "library", version },
        { ...common, name: "other" },
      ];
      const scratch = folder.join(`scratch-${++count}`);
      await makeDebRepository({ folder: mirror, suite: "noble", packages, key, scratch, essential: false });
    };
    await publish("1");
    await using server = await serveFolder(mirror);
    const packageCache = folder.join("cache");
    const ask = async (...lists: string[][]): Promise<string[]> => {
      const [tree, workspace] = [folder.join(`tree-${++count}`), folder.join(`workspace-${count}`)];
      for (const path of [tree, workspace]) mkdirSync(path);
      const options: InstallOptions = {
        tree,
        workspace,
        release: "noble",
        architecture: "x86-64",
        packages: [],
        localMirror: server.url,
        sandboxTree: folder.join("sandbox"),
        packageCache,
      };
      return (await distributionFor("ubuntu").fingerprint?.(options, lists)) ?? [];
    };
    const first = await ask(["tool"], ["other"]);
    expect(new Set(first).size).toBe(2);
    const plans = join(packageCache, "apt/ubuntu/plans");
    const kept = readdirSync(plans);
    expect(kept).toHaveLength(2);
    // From what is kept, and without it.
    expect(await ask(["tool"], ["other"])).toEqual(first);
    expect(readdirSync(plans)).toEqual(kept);
    rmSync(plans, { recursive: true });
    expect(await ask(["tool"], ["other"])).toEqual(first);
    expect(existsSync(plans)).toBe(true);
    // A package that another one brings along.
    await publish("2");
    const second = await ask(["tool"], ["other"]);
    expect(second[0]).not.toBe(first[0]);
    expect(second[1]).toBe(first[1]);
  },
);

test(
  "the cache of all packages is made by what chooses from them, not by reading the lists",
  { tags: ["system"], timeout: seconds },
  async (context) => {
    needPrograms(context, "apt-get", "gpg", "dpkg-deb", "apt-ftparchive");
    using folder = temporaryFolder();
    const key = makeSigningKey(folder.join("key"));
    const mirror = folder.join("mirror");
    const common: Omit<TestPackage, "name"> = { version: "1", depends: [], provides: [], files: {} };
    const packages = [
      { ...common, name: "tool", depends: ["library"] },
      { ...common, name: "library" },
    ];
    const scratch = folder.join("scratch");
    await makeDebRepository({ folder: mirror, suite: "noble", packages, key, scratch, essential: false });
    const apt = new AptRoot({
      family: ubuntu,
      release: "noble",
      architecture: "amd64",
      root: folder.join("apt"),
      repositories: [{ uri: `file://${mirror}`, suite: "noble", components: ["main"], signedBy: key.binary }],
      keyCheck: true,
      withRecommends: false,
      hostConfiguration: [],
      isSnapshot: false,
      packageCache: undefined,
      progress: silentProgress,
      signal: undefined,
    });
    await apt.create();
    await apt.update();
    const cache = join(apt.cache, "pkgcache.bin");
    expect(existsSync(cache)).toBe(false);
    const { files } = await apt.plan(["tool"]);
    expect(files.map(({ file }) => file).sort()).toEqual(["library_1-1_all.deb", "tool_1-1_all.deb"]);
    expect(existsSync(cache)).toBe(true);
  },
);

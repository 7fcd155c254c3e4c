/**
 * What every distribution owes a build, as tests: one suite for all package managers.
 * @module
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Distribution, InstalledPackage, InstallOptions } from "@imgtool/distro";
import { buildroot, runInSandbox } from "@imgtool/sandbox";
import { needPrograms, needRoot, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type FileServer,
  type SigningKey,
  type TestPackage,
  makeSigningKey,
  serveFolder,
  testPackages,
} from "@imgtool/testkit/repositories";

export interface DistributionCase {
  readonly distribution: Distribution;
  readonly release: string;
  /** Programs without which nothing can be tested. */
  readonly programs: readonly string[];
  /** Makes a signed repository of `testPackages` below `folder`, at the paths below the mirror. */
  makeMirror(folder: string, key: SigningKey, scratch: string): void | Promise<void>;
  /** Puts newer packages in the place of those that the repository has of their names. */
  publish(folder: string, key: SigningKey, packages: readonly TestPackage[], scratch: string): void | Promise<void>;
  /** Builds one package file, unsigned, into the folder. */
  makePackage(entry: TestPackage, folder: string, scratch: string): void;
  /** The package manager as scripts call it, and the words that it installs with. */
  readonly command: string;
  /** Puts the key where a project has it, below its mkosi.sandbox. */
  trust(sandboxTree: string, key: SigningKey): void;
  /** Files that only documentation is in. */
  readonly documentation: readonly string[];
  /** How a version is written that the packages call `3.1`. */
  version(text: string): string;
  /**
   * The digest that its package manager has of the package `tool`, which a bill of materials tells.
   * @param mirror folder with the repositories
   */
  digest?(tree: string, mirror: string): Pick<InstalledPackage, "sha256" | "headerSha256">;
  /** A package of every image. */
  readonly base: string;
  /** The setting that names the mirror. */
  readonly mirrorSetting?: "mirror" | "localMirror";
}

const seconds = 1_700_000_000;

export function distributionContract(subject: DistributionCase): void {
  const { distribution } = subject;
  const at = (url: string): Partial<InstallOptions> => ({ [subject.mirrorSetting ?? "mirror"]: url });
  describe(`the distribution ${distribution.name}`, { tags: ["system", "distribution"] }, () => {
    let folder: TemporaryFolder;
    let server: FileServer;
    let key: SigningKey;
    let options: Omit<InstallOptions, "tree" | "workspace">;

    beforeAll(async () => {
      folder = temporaryFolder();
      key = makeSigningKey(folder.join("key"));
      await subject.makeMirror(folder.join("mirror"), key, folder.join("scratch"));
      subject.trust(folder.join("sandbox"), key);
      server = await serveFolder(folder.join("mirror"));
      options = {
        release: subject.release,
        architecture: "x86-64",
        packages: ["tool"],
        ...at(server.url),
        sandboxTree: folder.join("sandbox"),
        packageCache: folder.join("cache"),
        sourceDateEpoch: seconds,
      };
    }, 300_000);

    afterAll(async () => {
      await server[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    });

    let count = 0;
    /** An empty tree and a workspace for it. */
    const place = async (): Promise<{ tree: string; workspace: string }> => {
      const [tree, workspace] = [folder.join(`tree-${++count}`), folder.join(`workspace-${count}`)];
      for (const path of [tree, workspace]) mkdirSync(path);
      chmodSync(tree, 0o755);
      await distribution.prepareTree(tree, "x86-64");
      return { tree, workspace };
    };

    test("packages are installed with what they depend on, and set up; a tree is entered", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const { tree, workspace } = await place();
      const result = await distribution.install({ ...options, tree, workspace });
      const byName = new Map(result.packages.map((entry) => [entry.name, entry]));
      expect([...byName.keys()].sort()).toEqual([...byName.keys()]);
      for (const [name, version] of [
        ["tool", "3.1"],
        ["library", "2.0"],
      ] as const)
        expect([name, byName.get(name)?.version]).toEqual([name, subject.version(version)]);
      expect(byName.get("tool")?.license ?? "MIT").toBe("MIT");
      expect(byName.get("tool")).toMatchObject(subject.digest?.(tree, folder.join("mirror")) ?? {});
      expect(readFileSync(join(tree, "etc/tool.conf"), "utf8")).toBe("set up by 0\n");
      expect(run("chroot", [tree, "/usr/bin/tool"])).toBe("tool\n");
      for (const path of subject.documentation) expect(existsSync(join(tree, path))).toBe(true);
      expect(lstatSync(join(tree, "tmp")).mode & 0o7777).toBe(0o1777);
      expect(result.downloaded.files).toBeGreaterThanOrEqual(3);
      expect(result.repositories.map(({ uri }) => uri).join(" ")).toContain(server.url);
      expect(readdirSync(workspace)).toEqual([]);
      // Nothing of the package manager's own is in the tree.
      const traces = ["imgtool*", "*.log", "rpmdb.sqlite-*"].flatMap((name) => ["-o", "-name", name]).slice(1);
      const found = run("find", [".", ...traces], { cwd: tree });
      expect(found).toBe("");
    });

    test("the same again: nothing is downloaded, and the bytes are the same", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const trees: string[] = [];
      for (let round = 0; round < 2; round++) {
        const { tree, workspace } = await place();
        const before = server.sent.filter(isPackage).length;
        const result = await distribution.install({ ...options, tree, workspace });
        expect(result.downloaded).toEqual({ files: 0, bytes: 0 });
        expect(server.sent.filter(isPackage).length).toBe(before);
        await distribution.cleanVolatile(tree);
        trees.push(tree);
        // Times are recorded in seconds.
        await new Promise((resolve) => setTimeout(resolve, 1100));
      }
      const [first = "", second = ""] = trees;
      expect(contents(second)).toEqual(contents(first));
    });

    test("without documentation, with packages removed, without a database", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const { tree, workspace } = await place();
      await distribution.install({ ...options, tree, workspace, withDocs: false });
      for (const path of subject.documentation) expect([path, existsSync(join(tree, path))]).toEqual([path, false]);
      await distribution.remove({ tree, packages: ["tool"], architecture: "x86-64" });
      const names = (await distribution.listPackages(tree)).map(({ name }) => name);
      expect(names).not.toContain("tool");
      expect(names).toContain(subject.base);
      // It came along for the tool only.
      expect(names).not.toContain("library");
      expect(existsSync(join(tree, "usr/bin/tool"))).toBe(false);
      await distribution.cleanMetadata(tree);
      expect(await distribution.listPackages(tree)).toEqual([]);
    });

    test("further packages go on top of a tree that has some, without documentation where it is not wanted", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const { tree, workspace } = await place();
      await distribution.install({ ...options, tree, workspace, packages: ["library"] });
      expect(existsSync(join(tree, "usr/bin/tool"))).toBe(false);
      const { packages } = await distribution.install({ ...options, tree, workspace, withDocs: false });
      const names = packages.map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(["library", "tool", subject.base]));
      expect(new Set(names).size).toBe(names.length);
      expect(run("chroot", [tree, "/usr/bin/tool"])).toBe("tool\n");
      for (const path of subject.documentation) expect([path, existsSync(join(tree, path))]).toEqual([path, false]);
      expect(readdirSync(workspace)).toEqual([]);
    });

    test("packages of the project's own come before the archive's, whatever their version", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      // Twice under one name: no cache may hold the first for the second.
      for (const content of ["own\n", "own again\n"]) {
        const { tree, workspace } = await place();
        const own = folder.join(`own-${count}`);
        mkdirSync(own);
        const entry = {
          name: "library",
          version: "1.5",
          depends: [],
          provides: [],
          files: { "usr/lib/library": content },
        };
        subject.makePackage(entry, own, folder.join(`own-scratch-${count}`));
        const addition = { ...entry, name: "addition", depends: ["tool"], files: { "usr/lib/addition": content } };
        subject.makePackage(addition, own, folder.join(`addition-scratch-${count}`));
        writeFileSync(join(own, "README"), "not a package\n");
        const { packages, repositories } = await distribution.install({
          ...options,
          tree,
          workspace,
          packages: ["addition"],
          packageDirectories: [own],
        });
        const versions = new Map(packages.map(({ name, version }) => [name, version]));
        expect(versions.get("library")).toBe(subject.version("1.5"));
        expect(versions.get("tool")).toBe(subject.version("3.1"));
        for (const name of ["library", "addition"])
          expect(readFileSync(join(tree, "usr/lib", name), "utf8")).toBe(content);
        // The record of a build is no place for the paths of one.
        expect(JSON.stringify(repositories)).not.toContain(workspace);
        expect(readdirSync(workspace)).toEqual([]);
        expect(run("find", [".", "-name", "*imgtool*"], { cwd: tree })).toBe("");
      }
    });

    test("scripts beside the image install, upgrade and remove packages", async (context) => {
      needPrograms(context, ...subject.programs, "unshare");
      needRoot(context);
      const { tree, workspace } = await place();
      const own = folder.join("own-scripts");
      mkdirSync(own);
      const entry = { name: "addition", version: "1", depends: [], provides: [], files: { "usr/lib/addition": "1\n" } };
      subject.makePackage(entry, own, folder.join("own-scripts-scratch"));
      const all = { ...options, tree, workspace, packages: ["library"], packageDirectories: [own] };
      await distribution.install(all);
      const tools = await distribution.scriptTools?.(all, buildroot);
      if (tools === undefined) throw new Error("no tools");
      const script = async (text: string, network: boolean): Promise<string[]> => {
        const file = folder.join("script");
        writeFileSync(file, `#!/bin/sh\nset -eu\n${text}\n`, { mode: 0o755 });
        const lines: string[] = [];
        await runInSandbox({
          script: file,
          tree,
          network,
          binds: tools.mounts,
          helpers: tools.programs,
          onOutputLine: (line) => lines.push(line),
        });
        await tools.keep();
        return lines;
      };
      const names = async (): Promise<string[]> => (await distribution.listPackages(tree)).map(({ name }) => name);
      await script("mkosi-install tool", true);
      expect(await names()).toContain("tool");
      // Set up in the image, with its own shell.
      expect(readFileSync(join(tree, "etc/tool.conf"), "utf8")).toBe("set up by 0\n");
      await script("mkosi-remove tool", false);
      expect(await names()).not.toContain("tool");
      // Another build finds it in the cache.
      const before = server.sent.filter(isPackage).length;
      const again = await place();
      await distribution.install({ ...options, ...again, packages: ["tool"] });
      expect(server.sent.filter(isPackage).length).toBe(before);
      // Without a network there are the project's own packages.
      await script(`${subject.command} addition`, false);
      expect(await names()).toContain("addition");
      writeFileSync(join(tree, "usr/lib/addition"), "changed\n");
      await script("mkosi-reinstall addition", false);
      expect(readFileSync(join(tree, "usr/lib/addition"), "utf8")).toBe("1\n");
      await script("mkosi-upgrade", true);
      await distribution.cleanVolatile(tree);
      expect(run("find", [".", "-name", "*imgtool*"], { cwd: tree })).toBe("");
      expect(await tools.asked()).toEqual(["tool"]);
      await expect(script("mkosi-install no-such-package", true)).rejects.toMatchObject({ code: "script-failed" });
    });

    test("what goes on top of a tree is locked, and no package that the tree has", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const all = { ...options, ...(await place()) };
      const { packages: base } = await distribution.install({ ...all, packages: ["library"] });
      const [onTop = [], nothing] =
        (await distribution.lock?.(all, [{ packages: ["tool", "library"] }, { packages: ["library"] }])) ?? [];
      const names = onTop.map(({ name }) => name);
      expect(names).toContain("tool");
      expect(base.map(({ name }) => name).filter((name) => names.includes(name))).toEqual([]);
      expect(nothing).toEqual([]);
      const install = async (packages: readonly string[], locked: typeof onTop): Promise<string[]> => {
        const { workspace } = await place();
        return versions((await distribution.install({ ...all, workspace, packages, locked })).packages).sort();
      };
      expect(await install(["library"], [])).toEqual(versions(base).sort());
      await expect(install(["tool", "library"], [])).rejects.toMatchObject({ code: "lock-stale" });
      expect(await install(["tool", "library"], onTop)).toEqual(versions([...base, ...onTop]).sort());
    });

    test("scripts of a locked image install what is locked, and upgrade nothing", async (context) => {
      needPrograms(context, ...subject.programs, "unshare");
      needRoot(context);
      const { tree, workspace } = await place();
      const all = { ...options, tree, workspace, packages: ["library"] };
      const { packages } = await distribution.install(all);
      const locked = packages.map((entry) => ({ ...entry, sha256: "0".repeat(64), path: "pool/file" }));
      const tools = await distribution.scriptTools?.({ ...all, locked }, buildroot);
      const said = async (text: string): Promise<string> => {
        const file = folder.join("locked-script");
        const lines: string[] = [];
        writeFileSync(file, `#!/bin/sh\nset -eu\n${text} || echo "exited with $?"\n`, { mode: 0o755 });
        await runInSandbox({
          script: file,
          tree,
          network: true,
          binds: tools?.mounts ?? [],
          helpers: tools?.programs ?? {},
          onOutputLine: (line) => lines.push(line),
        });
        return lines.join("\n");
      };
      expect(await said("mkosi-install library")).not.toContain("exited");
      const refused = await said("mkosi-install library tool");
      expect(refused).toContain("mkosi-install: tool is not in imgtool.lock");
      expect(refused).toContain("exited with 1");
      expect(await said("mkosi-install ./tool.package")).toContain("./tool.package is not in imgtool.lock");
      expect(await said("mkosi-upgrade")).toContain("exited with 1");
      expect((await distribution.listPackages(tree)).map(({ name }) => name)).not.toContain("tool");
    });

    test("with CacheOnly= no list is read anew, or nothing at all is asked of the network", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const cache = folder.join("cache-only");
      const attempt = async (changes: Partial<InstallOptions>): Promise<string[]> => {
        const before = server.sent.length;
        await distribution.install({ ...options, ...(await place()), packageCache: cache, ...changes });
        return server.sent.slice(before);
      };
      await expect(attempt({ cacheOnly: "everything" })).rejects.toMatchObject({ code: "cache-incomplete" });
      // What is not cached yet is read.
      expect(await attempt({ cacheOnly: "metadata", packages: ["library"] })).not.toEqual([]);
      await expect(attempt({ cacheOnly: "everything" })).rejects.toMatchObject({ code: "cache-incomplete" });
      const own = folder.join("own-cached");
      mkdirSync(own);
      const entry = { name: "addition", version: "1", depends: [], provides: [], files: { "usr/lib/addition": "1\n" } };
      subject.makePackage(entry, own, folder.join("own-cached-scratch"));
      const sent = await attempt({ cacheOnly: "metadata", packages: ["tool", "addition"], packageDirectories: [own] });
      expect(sent.filter((path) => !isPackage(path) && !path.endsWith(".sig"))).toEqual([]);
      expect(sent.some((path) => path.includes("tool"))).toBe(true);
      expect(
        await attempt({ cacheOnly: "everything", packages: ["tool", "addition"], packageDirectories: [own] }),
      ).toEqual([]);
    });

    test("what goes wrong is said before the tree has a package", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const failure = async (changes: Partial<InstallOptions>): Promise<unknown> => {
        const { tree, workspace } = await place();
        const cache = folder.join(`cache-${count}`);
        const error: unknown = await distribution
          .install({ ...options, packageCache: cache, ...changes, tree, workspace })
          .then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
        expect(existsSync(join(tree, "usr/bin/sh"))).toBe(false);
        return error;
      };
      const missing = await failure({ packages: ["toool"] });
      expect(missing).toMatchObject({ code: "package-not-found", exitCode: 4 });
      expect(String((missing as { hint?: string }).hint)).toContain("tool");
      expect(await failure({ packages: ["--root=/"] })).toMatchObject({ code: "package-name-invalid", exitCode: 2 });
      expect(await failure(at("http://127.0.0.1:9"))).toMatchObject({ code: "mirror-unreachable" });
      expect(await failure(at("nowhere"))).toMatchObject({ code: "mirror-invalid" });
      expect(await failure({ architecture: "ia64" })).toMatchObject({ code: "architecture-unknown" });
      mkdirSync(folder.join("empty"), { recursive: true });
      expect(await failure({ sandboxTree: folder.join("empty") })).toMatchObject({ code: "keyring-missing" });
      const other = makeSigningKey(folder.join(`other-${count}`));
      subject.trust(folder.join("wrong"), other);
      expect(await failure({ sandboxTree: folder.join("wrong") })).toMatchObject({
        code: "signature-invalid",
        exitCode: 3,
      });
      const aborted = new AbortController();
      aborted.abort();
      expect(await failure({ signal: aborted.signal })).toMatchObject({ name: "AbortedError" });
    });

    test("what is locked is installed, from the cache or the mirror, and nothing in its place", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const own = folder.join("own-locked");
      mkdirSync(own);
      const entry = {
        name: "addition",
        version: "1",
        depends: ["tool"],
        provides: [],
        files: { "usr/lib/addition": "1\n" },
      };
      subject.makePackage(entry, own, folder.join("own-locked-scratch"));
      run("cp", ["-a", folder.join("mirror"), folder.join("moving")]);
      await using moving = await serveFolder(folder.join("moving"));
      const cache = folder.join("cache-locked");
      const all = {
        ...options,
        ...at(moving.url),
        packages: ["library"],
        packageCache: cache,
        packageDirectories: [own],
      };
      const [base = [], addition = []] =
        (await distribution.lock?.({ ...all, ...(await place()) }, [
          { packages: all.packages },
          { packages: ["addition"], onto: all.packages },
        ])) ?? [];
      expect(versions(base)).toContain(`library ${subject.version("2.0")}`);
      expect(base.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256))).toBe(true);
      expect(base.find(({ name }) => name === "library")?.path).toMatch(/^[^/].*\/library[^/]*$/);
      expect(addition.map(({ name }) => name)).toEqual(expect.arrayContaining(["addition", "tool"]));
      expect(addition.map(({ name }) => name)).not.toContain("library");

      const install = async (changes: Partial<InstallOptions>): Promise<string[]> =>
        versions((await distribution.install({ ...all, ...(await place()), locked: base, ...changes })).packages);
      // From the mirror.
      expect(await install({ packageCache: folder.join("cache-locked-2") })).toEqual(versions(base));
      // What goes on top is locked, too.
      const here = await place();
      await distribution.install({ ...all, ...here, locked: base });
      const more = await distribution.install({
        ...all,
        ...here,
        packages: ["addition"],
        locked: [...base, ...addition],
      });
      expect(versions(more.packages).sort()).toEqual(versions([...base, ...addition]).sort());
      expect(readdirSync(here.workspace)).toEqual([]);
      // Packages= asks for another.
      await expect(install({ packages: ["library", "tool"] })).rejects.toMatchObject({ code: "lock-stale" });
      // A file of other bytes under the package's name.
      const wrong = base.map((one) => (one.name === "library" ? { ...one, sha256: "0".repeat(64) } : one));
      const different = install({ locked: wrong });
      await expect(different).rejects.toMatchObject({ code: "lock-unsatisfied", exitCode: 4 });
      await expect(different).rejects.toThrow(/library .*0{64}/);

      const newer = testPackages([])
        .filter(({ name }) => name === "library")
        .map((one) => ({ ...one, version: "2.1" }));
      await subject.publish(folder.join("moving"), key, newer, folder.join("moving-scratch"));
      const unlocked = { ...all, ...(await place()), packageCache: folder.join("cache-unlocked") };
      expect(versions((await distribution.install(unlocked)).packages)).toContain(`library ${subject.version("2.1")}`);
      // apt has to find them in its lists.
      const isKept = subject.distribution.packageType !== "deb";
      expect(isKept ? await install({}) : versions(base)).toEqual(versions(base));
      // Gone from the repository, and from the cache.
      const gone = install({ packageCache: folder.join("cache-locked-3") });
      await expect(gone).rejects.toMatchObject({ code: "lock-unsatisfied", exitCode: 4 });
      await expect(gone).rejects.toThrow(/library/);
    });

    test("a digest tells whether something else would be installed", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const ask = async (changes: Partial<InstallOptions> = {}): Promise<string[]> => {
        const here = await place();
        const digests = await distribution.fingerprint?.({ ...options, ...here, ...changes }, [["tool"], ["library"]]);
        expect(readdirSync(here.workspace)).toEqual([]);
        return digests ?? [];
      };
      const [tool = "", library = ""] = await ask();
      expect([tool, library]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), expect.not.stringMatching(tool)]);
      expect(await ask()).toEqual([tool, library]);
      expect(await ask({ cacheOnly: "metadata" })).toEqual([tool, library]);
      expect(await ask({ cacheOnly: "everything" })).toEqual([tool, library]);

      const own = folder.join("digested");
      mkdirSync(own);
      const seen = new Set([tool]);
      for (const content of ["own\n", "own again\n"]) {
        const entry = {
          name: "library",
          version: "1.5",
          depends: [],
          provides: [],
          files: { "usr/lib/library": content },
        };
        subject.makePackage(entry, own, folder.join(`digested-scratch-${seen.size}`));
        const [found = ""] = await ask({ packageDirectories: [own] });
        expect(await ask({ packageDirectories: [own] })).toContain(found);
        seen.add(found);
      }
      expect(seen.size).toBe(3);
      // What apt would choose is its own answer.
      if (distribution.packageType === "deb") return;
      await subject.makeMirror(folder.join("told"), key, folder.join("told-scratch"));
      await using told = await serveFolder(folder.join("told"));
      const before = await ask({ ...at(told.url), packageCache: folder.join("told-cache") });
      const newer = testPackages([])
        .filter(({ name }) => name === "library")
        .map((one) => ({ ...one, version: "2.1" }));
      await subject.publish(folder.join("told"), key, newer, folder.join("told-scratch-2"));
      const after = await ask({ ...at(told.url), packageCache: folder.join("told-cache-2") });
      expect(after[0]).not.toBe(before[0]);
    });

    test("without a check of signatures no key is needed", async (context) => {
      needPrograms(context, ...subject.programs);
      needRoot(context);
      const { tree, workspace } = await place();
      const { packages } = await distribution.install({
        ...options,
        tree,
        workspace,
        repositoryKeyCheck: false,
        sandboxTree: undefined,
      });
      expect(packages.map(({ name }) => name)).toContain("tool");
    });
  });
}

function versions(list: readonly { readonly name: string; readonly version: string }[]): string[] {
  return list.map(({ name, version }) => `${name} ${version}`);
}

function isPackage(path: string): boolean {
  return /\.(?:deb|rpm|zst)$/.test(path);
}

/** Modes, owners, links and digests of everything in a tree, by path. */
function contents(root: string): string[] {
  // readdir follows links, and /dev/fd is one to this process's own descriptors.
  const nodes = run("find", [".", "-printf", "%P %m %U:%G %y %l\n"], { cwd: root });
  const digests = run("find", [".", "-type", "f", "-exec", "sha256sum", "{}", "+"], { cwd: root });
  return `${nodes}${digests}`.split("\n").sort();
}

/** Writes a file and the folders above it. */
export function place(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

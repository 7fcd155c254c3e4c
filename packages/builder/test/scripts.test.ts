import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import type { Progress } from "@imgtool/core";
import { needPrograms, needRoot, run, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test, type TestContext } from "vitest";
import { build, clean } from "../src/index.ts";
import { testConfig } from "./config.ts";
import { points, readReports, writeScriptProject, type ScriptReport } from "./script-project.ts";

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, "script-golden.json"), "utf8"),
) as readonly ScriptReport[];

function needs(context: TestContext): void {
  needRoot(context);
  needPrograms(context, "bwrap", "unshare", "mount");
}

function script(folder: TemporaryFolder, name: string, text: string): string {
  const path = folder.join(name);
  writeFileSync(path, `#!/bin/sh\nset -eu\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Collects what scripts print. */
function listening(lines: string[]): Progress {
  return {
    start: () => ({
      advance() {},
      setTotal() {},
      detail: (line) => lines.push(line),
      done() {},
      [Symbol.dispose]() {},
    }),
    log() {},
  };
}

function projectConfig(folder: TemporaryFolder, changes: Partial<ImageConfig> = {}): ImageConfig {
  mkdirSync(folder.join("skeleton/usr/lib"), { recursive: true });
  mkdirSync(folder.join("skeleton/etc"));
  writeFileSync(folder.join("skeleton/usr/lib/os-release"), "ID=custom\n");
  return testConfig(folder.path, { skeletonTrees: [{ source: folder.join("skeleton"), target: "/" }], ...changes });
}

const hasNetwork = readFileSync("/proc/net/dev", "utf8").split(":").length > 2;

test("scripts get what mkosi gives them: words, variables, folders, network", async (context) => {
  needs(context);
  needPrograms(context, "bash");
  using folder = temporaryFolder();
  writeScriptProject(folder.path);
  const own = (name: string): string[] => [folder.join(`mkosi.${name}`)];
  const config = testConfig(folder.path, {
    output: "thing_7",
    imageVersion: "7",
    skeletonTrees: [{ source: folder.join("mkosi.skeleton"), target: "/" }],
    buildDirectory: folder.join("mkosi.builddir"),
    environment: { MINE: "yes" },
    cleanScripts: own("clean"),
    syncScripts: own("sync"),
    prepareScripts: own("prepare"),
    buildScripts: own("build"),
    postInstallationScripts: own("postinst"),
    finalizeScripts: own("finalize"),
    postOutputScripts: own("postoutput"),
  });
  const lines: string[] = [];
  const settings = { ImageId: "thing" };
  await clean(config, { progress: listening(lines), settings });
  await build(config, { progress: listening(lines), settings });
  const reports = readReports(lines);
  expect(reports.map(({ point }) => point)).toEqual(golden.map(({ point }) => point));
  expect(new Set(reports.map(({ point }) => point))).toEqual(new Set(points));
  for (const [index, report] of reports.entries()) {
    const expected = golden[index] as ScriptReport;
    // A machine without a network has none to give.
    expect(report).toEqual({ ...expected, network: expected.network && hasNetwork });
  }
});

test("a sync script learns whether there is a cached tree of the settings, and every script whether to say more", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const lines: string[] = [];
  const report = 'echo "$0 ${CACHED-none} $MKOSI_DEBUG"';
  const config = projectConfig(folder, {
    incremental: "yes",
    cacheDirectory: folder.join("cache"),
    syncScripts: [script(folder, "sync", report)],
    postInstallationScripts: [script(folder, "postinst", report)],
  });
  const reported = async (changes: Partial<ImageConfig>, debug: boolean): Promise<string[]> => {
    lines.length = 0;
    await build({ ...config, ...changes }, { force: true, debug, progress: listening(lines) });
    return lines.filter((line) => /^\/work\/(?:sync|postinst) /.test(line));
  };
  expect(await reported({}, false)).toEqual(["/work/sync 0 0", "/work/postinst none 0"]);
  expect(await reported({}, true)).toEqual(["/work/sync 1 1", "/work/postinst none 1"]);
  expect(await reported({ withDocs: !config.withDocs }, false)).toEqual(["/work/sync 0 0", "/work/postinst none 0"]);
  expect(await reported({ withDocs: !config.withDocs, incremental: "no" }, false)).toEqual([
    "/work/sync 0 0",
    "/work/postinst none 0",
  ]);
});

test("a build sees what was prepared for it, and the image gets what it installs and nothing else", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  writeFileSync(folder.join("source.c"), "source\n");
  const config = projectConfig(folder, {
    buildDirectory: folder.join("objects"),
    prepareScripts: [script(folder, "prepare", 'echo "$1" > "$BUILDROOT/etc/prepared-$1"')],
    buildScripts: [
      script(
        folder,
        "build",
        `cat "$BUILDROOT/etc/prepared-build" "$BUILDROOT/etc/prepared-final" "$SRCDIR/source.c"
         echo dirt > "$BUILDROOT/etc/dirt"; rm -r "$BUILDROOT/usr"
         echo "$WITH_TESTS" >> "$BUILDDIR/objects.o"
         mkdir -p "$DESTDIR/usr/bin"; cp "$SRCDIR/source.c" "$DESTDIR/usr/bin/program"
         chown 7:8 "$DESTDIR/usr/bin/program"; chmod 4750 "$DESTDIR/usr/bin/program"`,
      ),
      // The second build script sees what the first did.
      script(folder, "build2", 'cat "$BUILDROOT/etc/dirt"; test ! -e "$BUILDROOT/usr/lib"'),
    ],
    postInstallationScripts: [script(folder, "postinst", 'test -x "$BUILDROOT/usr/bin/program"')],
    withTests: false,
  });
  const lines: string[] = [];
  await build(config, { progress: listening(lines) });
  await build(config, { progress: listening([]), force: true });
  expect(lines.filter((line) => !line.startsWith("/") && !line.includes("thing"))).toEqual([
    "build",
    "final",
    "source",
    "dirt",
  ]);
  const tree = folder.join("out/thing");
  expect(readdirSync(join(tree, "etc"))).toEqual(["prepared-final"]);
  expect(readFileSync(join(tree, "usr/bin/program"), "utf8")).toBe("source\n");
  expect(lstatSync(join(tree, "usr/bin/program"))).toMatchObject({ uid: 7, gid: 8, mode: 0o104750 });
  // The folder of objects is kept from build to build.
  expect(readFileSync(folder.join("objects/custom~~x86-64/objects.o"), "utf8")).toBe("0\n0\n");
});

test("sources are the project's own, unless they are ephemeral", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  mkdirSync(folder.join("other"));
  const config = projectConfig(folder, {
    buildSources: [
      { source: folder.path, target: "/" },
      { source: folder.join("other"), target: "/third-party" },
    ],
    buildScripts: [
      script(folder, "build", "mkdir -p /work/src/third-party; touch made /work/src/third-party/made; ls"),
    ],
  });
  mkdirSync(folder.join("third-party"));
  await build({ ...config, buildSourcesEphemeral: true });
  expect([existsSync(folder.join("made")), existsSync(folder.join("other/made"))]).toEqual([false, false]);
  await build(config, { force: true });
  expect([existsSync(folder.join("made")), existsSync(folder.join("other/made"))]).toEqual([true, true]);
});

/** A checkout whose build script lists its sources: files of its own, new ones, ignored ones, a submodule's. */
function checkoutConfig(folder: TemporaryFolder, build: string): ImageConfig {
  const git = (...args: string[]): string =>
    run("git", [
      "-c",
      "protocol.file.allow=always",
      "-C",
      folder.path,
      "-c",
      "user.name=a",
      "-c",
      "user.email=b",
      ...args,
    ]);
  const write = (name: string, text = ""): void => {
    mkdirSync(dirname(folder.join(name)), { recursive: true });
    writeFileSync(folder.join(name), text);
  };
  write("inner/.gitignore", "*.o\n");
  write("inner/inner.c");
  git("init", "-q", "inner");
  git("-C", "inner", "add", ".");
  git("-C", "inner", "commit", "-qm", "inner");
  git("init", "-q", ".");
  write(".gitignore", "*.o\n/mkosi.*/\nout/\nlinked\n");
  write("src/program.c", "tracked\n");
  write("src/forced.o", "tracked\n");
  git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", folder.join("inner"), "module");
  git("add", ".gitignore", "src/program.c");
  git("add", "-f", "src/forced.o");
  write("src/new.c", "untracked\n");
  write("src/program.o", "of the host\n");
  write("only/a.o");
  write("module/inner.o");
  for (const name of ["mkosi.builddir", "mkosi.output", "mkosi.cache"]) write(`${name}/x`);
  symlinkSync("src", folder.join("linked"));
  const config = projectConfig(folder, {
    outputDirectory: folder.join("mkosi.output"),
    buildScripts: [script(folder, "build", build)],
  });
  rmSync(folder.join("inner"), { recursive: true });
  return config;
}

const listSources = "cd /work/src; find . -name .git -prune -o -type f -print -o -type l -print | sort";

const checkoutFiles = [
  "./.gitignore",
  "./.gitmodules",
  "./build",
  "./module/.gitignore",
  "./module/inner.c",
  "./skeleton/usr/lib/os-release",
  "./src/forced.o",
  "./src/new.c",
  "./src/program.c",
];

test.for([false, true])(
  "scripts see a git checkout without what git ignores (ephemeral: %s)",
  async (ephemeral, context) => {
    needs(context);
    needPrograms(context, "git", "find");
    using folder = temporaryFolder();
    const config = { ...checkoutConfig(folder, listSources), buildSourcesEphemeral: ephemeral };
    const lines: string[] = [];
    await build(config, { progress: listening(lines) });
    const seen = (): string[] => lines.filter((line) => line.startsWith("./"));
    expect(seen()).toEqual(checkoutFiles);
    // They are the user's.
    expect(readFileSync(folder.join("src/program.o"), "utf8")).toBe("of the host\n");
    expect(existsSync(folder.join("mkosi.cache/x"))).toBe(true);
    lines.length = 0;
    await build(
      { ...config, useGitFiles: false, buildSourcesEphemeral: false },
      { progress: listening(lines), force: true },
    );
    expect(seen()).toEqual(expect.arrayContaining(["./src/program.o", "./mkosi.cache/x", "./only/a.o", "./linked"]));
  },
);

test("what scripts write reaches the checkout, also where ignored files are", async (context) => {
  needs(context);
  needPrograms(context, "git");
  using folder = temporaryFolder();
  const config = checkoutConfig(
    folder,
    `cd /work/src
     test ! -e src/program.o; test ! -e made; test ! -e only
     echo object > src/object.tmp; chown 7:8 src/object.tmp; mv src/object.tmp src/program.o
     mkdir only; echo b > only/b.o; chmod 750 only
     echo changed >> src/program.c; rm src/new.c; ln -s program.c src/link
     mkdir made; echo made > made/file; rm -r module; mkdir module; touch module/new
     touch mkosi.cache; rm mkosi.cache; touch gone.o; rm gone.o
     echo staged > .git/own`,
  );
  writeFileSync(folder.join("gone.o"), "ignored\n");
  const lines: string[] = [];
  // What an earlier script of the build has made there is seen by the later ones.
  const later = script(folder, "later", "cat /work/src/src/program.o; ls /work/src/only; rm /work/src/made/file");
  await build({ ...config, postInstallationScripts: [later] }, { progress: listening(lines) });
  expect(lines).toEqual(expect.arrayContaining(["object", "b.o"]));
  expect(lines).not.toContain("a.o");
  const text = (name: string): string => readFileSync(folder.join(name), "utf8");
  expect([text("src/program.o"), text("only/b.o"), text("src/program.c")]).toEqual([
    "object\n",
    "b\n",
    "tracked\nchanged\n",
  ]);
  expect(lstatSync(folder.join("src/program.o"))).toMatchObject({ uid: 7, gid: 8 });
  expect(existsSync(folder.join("src/new.c"))).toBe(false);
  expect(readlinkSync(folder.join("src/link"))).toBe("program.c");
  expect(readdirSync(folder.join("made"))).toEqual([]);
  expect(text(".git/own")).toBe("staged\n");
  // Scripts cannot take away what they do not see.
  expect(readdirSync(folder.join("module")).sort()).toEqual(["inner.o", "new"]);
  expect(readdirSync(folder.join("only")).sort()).toEqual(["a.o", "b.o"]);
  expect([text("gone.o"), text("mkosi.cache/x")]).toEqual(["ignored\n", ""]);
  expect(readdirSync(folder.join("mkosi.output")).filter((name) => name.startsWith("."))).toEqual([]);
});

test("a checkout and an output folder that are named by links", async (context) => {
  needs(context);
  needPrograms(context, "git", "find");
  using folder = temporaryFolder();
  mkdirSync(folder.join("real"));
  symlinkSync("real", folder.join("link"));
  const inner = { ...folder, path: folder.join("real"), join: (...names: string[]) => folder.join("real", ...names) };
  const config = checkoutConfig(inner, `stat -c "mode %a" /work/src; ${listSources}; touch /work/src/written`);
  chmodSync(folder.join("real"), 0o750);
  const lines: string[] = [];
  const source = folder.join("link");
  mkdirSync(folder.join("link/elsewhere"));
  const changes = { buildSources: [{ source, target: "/" }], outputDirectory: folder.join("link/elsewhere") };
  await build({ ...config, ...changes }, { progress: listening(lines) });
  expect(lines.filter((line) => /^(?:\.\/|mode)/.test(line))).toEqual(["mode 750", ...checkoutFiles]);
  expect(existsSync(folder.join("real/written"))).toBe(true);
});

test("a workspace that cannot hold layers is named, with what to do", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(folder.join(name));
  const layers = `lowerdir=${folder.join("lower")},upperdir=${folder.join("upper")},workdir=${folder.join("work")}`;
  run("mount", ["-t", "overlay", "overlay", "-o", layers, folder.join("merged")]);
  using _mount = { [Symbol.dispose]: () => void run("umount", [folder.join("merged")]) };
  const config = projectConfig(folder, {
    outputDirectory: folder.join("merged/out"),
    buildScripts: [script(folder, "build", "true")],
  });
  await expect(build(config)).rejects.toMatchObject({ code: "overlay-unsupported" });
  mkdirSync(folder.join("workspace"));
  await build({ ...config, workspaceDirectory: folder.join("workspace") });
});

test("a project below a checkout's root, and a folder that git ignores as a whole", async (context) => {
  needs(context);
  needPrograms(context, "git", "find");
  using folder = temporaryFolder();
  const config = checkoutConfig(folder, listSources);
  const lines: string[] = [];
  // Of a folder so far below an ignored one, git ends with an internal error when it is to list it.
  mkdirSync(folder.join("mkosi.cache/two/below"), { recursive: true });
  writeFileSync(folder.join("mkosi.cache/two/below/y"), "");
  const buildSources = [
    { source: folder.join("src"), target: "/" },
    // Named by the project, so wanted.
    { source: folder.join("mkosi.cache"), target: "/third" },
    { source: folder.join("mkosi.cache/two/below"), target: "/fourth" },
  ];
  await build({ ...config, buildSources, buildSourcesEphemeral: true }, { progress: listening(lines) });
  expect(lines.filter((line) => line.startsWith("./"))).toEqual([
    "./forced.o",
    "./fourth/y",
    "./new.c",
    "./program.c",
    "./third/two/below/y",
    "./third/x",
  ]);
});

test("what post-output scripts add is an output, and what they change is described anew", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const config = projectConfig(folder, {
    format: "tar",
    manifestFormat: ["json"],
    postOutputScripts: [
      script(
        folder,
        "postoutput",
        'cd "$OUTPUTDIR"; echo more > thing.extra; echo >> thing.manifest; rm thing.SHA256SUMS',
      ),
    ],
  });
  const record = await build(config);
  expect(readdirSync(folder.join("out")).sort()).toEqual([
    "thing",
    "thing.build.json",
    "thing.extra",
    "thing.manifest",
    "thing.tar",
  ]);
  const artifacts = Object.fromEntries(record.artifacts.map((artifact) => [artifact.path, artifact]));
  expect(artifacts["thing.extra"]).toMatchObject({ kind: "other", size: 5 });
  expect(artifacts["thing.manifest"]).toMatchObject({
    kind: "manifest",
    size: lstatSync(folder.join("out/thing.manifest")).size,
  });
  // A record without it: what the script made goes with the rest.
  await clean(config);
  expect(readdirSync(folder.join("out"))).toEqual([]);
});

test("clean scripts run before the outputs go", async (context) => {
  needs(context);
  using folder = temporaryFolder();
  const config = projectConfig(folder, {
    cleanScripts: [script(folder, "clean", 'ls "$OUTPUTDIR" > /work/src/listed; rm -f /work/src/left')],
  });
  await build(config);
  writeFileSync(folder.join("left"), "");
  await clean(config);
  expect(readFileSync(folder.join("listed"), "utf8")).toContain("thing.build.json");
  expect(existsSync(folder.join("left"))).toBe(false);
  expect(readdirSync(folder.join("out"))).toEqual([]);
});

test("scripts of the first mkosi run in the image, and are told whether it is the one that is built in", async (context) => {
  needs(context);
  needPrograms(context, "busybox");
  using folder = temporaryFolder();
  const say = 'say() { echo "$*, $(pwd), $(/usr/bin/busybox cat /etc/name)"; }\nsay';
  const config = projectConfig(folder, {
    format: "directory",
    scriptsOfFirstMkosi: true,
    prepareScripts: [script(folder, "mkosi.prepare", `${say} prepare "$@" >>/log`)],
    postInstallationScripts: [script(folder, "mkosi.postinst", `${say} postinst "$@" >>/log`)],
    buildScripts: [
      script(
        folder,
        "mkosi.build",
        `${say} build "$@" >>/log; /usr/bin/busybox cp /log "$DESTDIR/built"; test "$BUILDROOT" = /`,
      ),
    ],
    finalizeScripts: [
      script(folder, "mkosi.finalize", `echo "finalize $*" >>"$BUILDROOT/log"; test "$BUILDROOT" != /`),
    ],
  });
  mkdirSync(folder.join("skeleton/usr/bin"), { recursive: true });
  for (const name of ["bin", "lib", "lib64"]) symlinkSync(`usr/${name}`, folder.join("skeleton", name));
  // statically linked, as Debian's is
  copyFileSync(run("sh", ["-c", "command -v busybox"]).trim(), folder.join("skeleton/usr/bin/busybox"));
  symlinkSync("busybox", folder.join("skeleton/usr/bin/sh"));
  writeFileSync(folder.join("skeleton/etc/name"), "the image");
  const [made] = (await build(config)).artifacts;
  const read = (name: string): string => readFileSync(folder.join("out", made?.path ?? "", name), "utf8");
  expect(read("log")).toBe("prepare final, /work/src, the image\npostinst final, /work/src, the image\nfinalize \n");
  expect(read("built")).toBe(
    "prepare final, /work/src, the image\nprepare build, /work/src, the image\npostinst build, /work/src, the image\nbuild, /work/src, the image\n",
  );
});

import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import type { Progress } from "@imgtool/core";
import { needPrograms, needRoot, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
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

/** casync's verbs and options: what docs/casync.md claims, and what the real casync prints. */
import { chownSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needPrograms, needRoot, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { checkout, cli, expectError, imgtool } from "./cli.ts";

const page = readFileSync(join(checkout, "docs/casync.md"), "utf8");

test(
  "every option that the page claims is in the help of its verbs, and every missing one is not",
  { tags: ["system"] },
  () => {
    const rows = [...page.matchAll(/^\| `(--[a-z-]+)` +\| ([a-z, ]+?) *\|$/gm)];
    expect(rows.length).toBeGreaterThan(15);
    const help = new Map<string, string>();
    for (const verb of ["make", "extract", "list", "mtree", "stat", "digest"]) {
      expect(page).toContain(`\`imgtool ${verb}\``);
      help.set(verb, cli([verb, "--help"]).stdout);
    }
    const wrong: string[] = [];
    for (const [, option = "", verbs = ""] of rows) {
      for (const [verb, text] of help) {
        const claimed = verbs.split(", ").includes(verb);
        if (claimed !== new RegExp(`^ +${option} <`, "m").test(text)) wrong.push(`${verb} ${option}`);
      }
    }
    expect(wrong).toEqual([]);
    const missing = page.slice(page.indexOf("## What is missing"));
    const options = [...missing.matchAll(/^\| ([^|]*)\|/gm)].flatMap(
      ([, cell = ""]) => cell.match(/--[a-z-]{2,}[a-z]/g) ?? [],
    );
    expect(missing).toContain("| casync");
    for (const option of options) for (const text of help.values()) expect(text).not.toContain(` ${option} `);
  },
);

/** A tree with a rule that leaves something out. */
function makeTree(path: string): string {
  mkdirSync(join(path, "sub", "inner"), { recursive: true });
  writeFileSync(join(path, ".caexclude"), "*.tmp\n");
  writeFileSync(join(path, "a.tmp"), "");
  writeFileSync(join(path, "sub", "file"), "content\n");
  writeFileSync(join(path, "sub", "inner", "deep"), "deep\n");
  symlinkSync("file", join(path, "sub", "link"));
  return path;
}

test("the verbs print what casync prints", { tags: ["system"] }, (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const tree = makeTree(folder.join("tree"));
  const index = folder.join("x.caidx");
  const archive = folder.join("x.catar");
  expect(cli(["make", "--content-digest=yes", archive, tree]).stdout).toBe(run("casync", ["make", archive, tree]));
  expect(cli(["make", "--content-digest=yes", index, archive]).stdout).toBe(run("casync", ["make", index, tree]));
  writeFileSync(folder.join("unnamed"), readFileSync(archive));
  const requests: readonly (readonly string[])[] = [
    ["list", tree],
    ["list", index, "sub"],
    ["list", "--recursive=no", archive],
    ["list", "--recursive=no", index, "sub"],
    ["list", "--what=archive", folder.join("unnamed")],
    ["mtree", index, "sub/file"],
    ["stat", tree],
    ["stat", index],
    ["stat", index, "sub/link"],
    ["stat", archive, "sub/inner/deep"],
    ["digest", tree],
    ["digest", "--without=symlinks", tree],
    ["digest", index, "sub"],
    ["digest", archive, "sub/file"],
    ["digest", "--what=archive", folder.join("unnamed")],
    ["digest", "--what=blob", archive],
  ];
  for (const request of requests)
    expect([request, cli(request).stdout]).toEqual([request, run("casync", [...request])]);
});

test("archives come through standard streams, and paths go below the target", { tags: ["system"] }, () => {
  using folder = temporaryFolder();
  const tree = makeTree(folder.join("tree"));
  const archive = folder.join("x.catar");
  const { stdout: digest } = cli(["make", "--content-digest=yes", archive, tree]);
  const piped = (args: string): string =>
    run("sh", ["-c", `"${imgtool}" ${args} < "${archive}"`], { cwd: folder.path });
  expect(piped("make --content-digest=yes --store=s y.caidx -")).toBe(digest);
  expect(piped("digest --what=archive -")).toBe(digest);
  expect(piped("list -")).toBe(cli(["list", archive]).stdout);
  expect(piped("make - tree")).toBe(readFileSync(archive, "utf8"));
  expectError(cli(["make", "--what=archive-index", "-", tree]), 2, "not written to standard output");
  piped("extract - out");
  expect(cli(["digest", folder.join("out")]).stdout).toBe(digest);
  expect(cli(["extract", archive, folder.join("part"), "sub/inner"]).exitCode).toBe(0);
  expect(readFileSync(folder.join("part", "inner", "deep"), "utf8")).toBe("deep\n");

  // casync 2 leaves these out all the same.
  expect(cli(["list", tree]).stdout).not.toContain("a.tmp");
  expect(cli(["list", "--exclude-file=no", tree]).stdout).toContain("a.tmp");
  expectError(cli(["extract", "--mkdir=no", archive, folder.join("none")]), 2, "there is no directory");
  expectError(cli(["list", archive, "none"]), 4, "there is no none");
  expectError(cli(["digest", archive, "sub/link"]), 2, "a symlink has no digest");
  expectError(cli(["stat", tree, "sub"]), 2, "a path is looked up");
});

test("options without a meaning for what is done are told of", { tags: ["system"] }, () => {
  using folder = temporaryFolder();
  const tree = makeTree(folder.join("tree"));
  const file = join(tree, "sub", "file");
  const told = (...args: readonly string[]): string => {
    const { exitCode, stderr } = cli([...args, "-q"], { cwd: folder.path });
    return `${exitCode} ${stderr}`;
  };
  expect(told("make", "--cache=c", "--with=unix", "x.caibx", file)).toBe(
    "0 warning: --with and --cache have no meaning for a file\n",
  );
  expect(told("make", "--cache=c", "x.catar", tree)).toMatch(/^0 warning: --cache has no meaning for an archive\n$/);
  expect(told("make", "--cache=c", "x.caidx", "x.catar")).toContain("--cache has no meaning for an archive");
  expect(told("make", "--cache=c", "y.caidx", tree)).toBe("0 ");
  expect(told("extract", "--seed=none", "x.catar", "out")).toContain("0 warning: --seed has no meaning for an archive");
  expect(told("extract", "--hardlink=yes", "x.caidx", "out.tar")).toContain("--hardlink has no meaning for a tar");
  expect(told("extract", "--without=unix", "x.caibx", "out.file")).toContain("--without has no meaning for a file");
});

test(
  "casync's command lines are taken as they are: any of its options, before the verb too",
  { tags: ["system"] },
  (context) => {
    needPrograms(context, "casync");
    using folder = temporaryFolder();
    const tree = makeTree(folder.join("tree"));
    const lines: readonly (readonly string[])[] = [
      ["--store", "s", "--seed", "none", "--rate-limit-bps=100000", "-l", "err", "make", "x.caidx", tree],
      ["--store", "s", "list", "--cache=c", "-n", "x.caidx"],
      ["-v", "--what", "directory", "digest", "--mkdir=no", "--hardlink=yes", tree],
      ["--store=s", "extract", "--exclude-submounts=yes", "-c", "x.caidx", "out"],
    ];
    for (const line of lines) {
      const theirs = tryRun("casync", [...line], { cwd: folder.path });
      rmSync(folder.join("out"), { recursive: true, force: true });
      const ours = cli(line, { cwd: folder.path });
      expect([line, ours.exitCode, theirs.status]).toEqual([line, 0, 0]);
    }
    const warned = cli(["--store=s", "list", "--cache=c", "x.caidx"], { cwd: folder.path });
    expect(warned.stderr).toBe("warning: --cache has no meaning for this verb\n");
    expect(warned.stdout).toBe(run("casync", ["--store=s", "list", "x.caidx"], { cwd: folder.path }));
    expectError(cli(["list", "--nonsense", "x.caidx"], { cwd: folder.path }), 2, "--nonsense");
  },
);

test("owners are shifted", { tags: ["system"] }, (context) => {
  needPrograms(context, "casync");
  needRoot(context);
  using folder = temporaryFolder();
  const tree = makeTree(folder.join("tree"));
  run("chown", ["-Rh", "65536:65536", tree]);
  chownSync(join(tree, "sub"), 70_000, 70_000);
  for (const options of [["--uid-shift=yes"], ["--uid-shift=65536", "--uid-range=100"], ["--uid-range=0"]])
    expect(cli(["digest", ...options, tree]).stdout).toBe(run("casync", [...options, "digest", tree]));
  expectError(cli(["list", "--uid-shift=65537", tree]), 2, "before the range of ids");
});

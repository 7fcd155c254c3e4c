/**
 * The cases: for each program the command, and what must be there (or away) before it runs.
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "@imgtool/testkit";
import { type Inputs, makeSmallFiles, makeSparseImage } from "./inputs.ts";

type Program = "casync" | "imgtool" | "desync";

export interface BenchmarkCase {
  /** What the case is about: the heading of its table. */
  readonly group: string;
  readonly name: string;
  /** Command lines by program; casync is what the others are compared with. */
  readonly commands: Readonly<Partial<Record<Program, readonly string[]>>>;
  prepare(program: string): void;
}

function nothing(): void {}

/** Removes what lies at the program's path. */
function away(path: (program: string) => string): (program: string) => void {
  return (program) => rmSync(path(program), { recursive: true, force: true });
}

/** Mounts by the command that follows, reads all files of the mount, and unmounts: $0 is the directory. */
const readMount = `mkdir -p "$0" && { "$@" "$0" >&2 & }
until mountpoint -q "$0"; do kill -0 $! || exit 1; sleep 0.02; done
find "$0" -type f -exec cat {} + >/dev/null; code=$?
umount --force "$0"; wait; exit $code`;

/**
 * All cases, in an order in which the later ones use what the earlier ones left.
 * @param web URL under which a web server has `work`
 */
export function cases(imgtool: string, work: string, inputs: Inputs, web: string | undefined): BenchmarkCase[] {
  const place = (name: string) => (program: string) => join(work, `${program}.${name}`);
  const result: BenchmarkCase[] = [];
  const add = (
    group: string,
    name: string,
    commands: BenchmarkCase["commands"],
    prepare: BenchmarkCase["prepare"] = nothing,
  ): void => {
    const there = Object.entries(commands).filter(
      ([program]) => program === "imgtool" || findProgram(program) !== undefined,
    );
    result.push({ group, name, commands: Object.fromEntries(there), prepare });
  };

  const blob = (group: string, id: string, input: string): void => {
    const [store, index, output] = [place(`${id}.castr`), place(`${id}.caibx`), place("out")];
    const make = {
      casync: ["casync", "make", `--store=${store("casync")}`, index("casync"), input],
      imgtool: [imgtool, "make", "--durable=no", `--store=${store("imgtool")}`, index("imgtool"), input],
      desync: ["desync", "make", "-n", "2", "-s", store("desync"), index("desync"), input],
    };
    add(group, "make, cold store", make, away(store));
    add(group, "make, warm store", make);
    const extract = {
      casync: ["casync", "extract", `--store=${store("casync")}`, index("casync"), output("casync")],
      imgtool: [imgtool, "extract", "--durable=no", `--store=${store("imgtool")}`, index("imgtool"), output("imgtool")],
      desync: ["desync", "extract", "-n", "2", "-s", store("desync"), index("desync"), output("desync")],
    };
    add(group, "extract", extract, away(output));
  };
  const tar = "A tar of /usr";
  blob(tar, "tar", inputs.tar);
  {
    const [store, index, output] = [place("tar.castr"), place("tar2.caibx"), place("out")];
    add(tar, "make of the second version", {
      casync: ["casync", "make", `--store=${store("casync")}`, index("casync"), inputs.nextTar],
      imgtool: [imgtool, "make", "--durable=no", `--store=${store("imgtool")}`, index("imgtool"), inputs.nextTar],
      desync: ["desync", "make", "-n", "2", "-s", store("desync"), index("desync"), inputs.nextTar],
    });
    const extract = (program: "casync" | "imgtool", ...more: readonly string[]): readonly string[] => [
      ...(program === "casync" ? ["casync", "extract"] : [imgtool, "extract", "--durable=no"]),
      `--store=${store(program)}`,
      ...more,
      index(program),
      output(program),
    ];
    add(tar, "extract the second version", { casync: extract("casync"), imgtool: extract("imgtool") }, away(output));
    const seed = `--seed=${inputs.tar}`;
    const seeded = { casync: extract("casync", seed), imgtool: extract("imgtool", seed) };
    add(tar, "extract the second version, the first as seed", seeded, away(output));
  }
  if (web !== undefined) {
    const [store, index, output] = [place("tar.castr"), place("tar.caibx"), place("out")];
    const url = (path: string): string => `${web}${path.slice(work.length)}`;
    const from = (program: string): readonly string[] => [
      `--store=${url(store(program))}`,
      url(index(program)),
      output(program),
    ];
    const extract = {
      casync: ["casync", "extract", ...from("casync")],
      imgtool: [imgtool, "extract", "--durable=no", ...from("imgtool")],
      desync: ["desync", "extract", "-n", "2", "-s", url(store("desync")), url(index("desync")), output("desync")],
    };
    add(tar, "extract over HTTP, from nginx on this machine", extract, away(output));
  }
  {
    // Its chunks are those of the tar, but for the first ones.
    const [store, index, mount] = [place("tar.castr"), place("mounted.caidx"), place("mnt")];
    const folder = join(work, "mounted");
    const make = (program: string): void => {
      mkdirSync(folder, { recursive: true });
      if (!existsSync(join(folder, "tar"))) linkSync(inputs.tar, join(folder, "tar"));
      const [command, ...args] = program === "casync" ? ["casync", "make"] : [imgtool, "make", "--durable=no"];
      // each round, since each begins with an empty store
      execFileSync(command ?? "", [...args, `--store=${store(program)}`, index(program), folder]);
    };
    const read = (program: string, path: string): readonly string[] => [
      "sh",
      "-c",
      readMount,
      mount(program),
      path,
      "mount",
      `--store=${store(program)}`,
      index(program),
    ];
    if (existsSync("/dev/fuse") && process.getuid?.() === 0) {
      const reads = { casync: read("casync", "casync"), imgtool: read("imgtool", imgtool) };
      add(tar, "mount of a directory with it, read from there, unmount", reads, make);
    }
  }
  blob("An ext4 image", "image", inputs.image);

  const tree = "The tree in the tar";
  const [store, output] = [place("tree.castr"), place("out")];
  const both = (verb: string, make: (program: string) => readonly string[]): BenchmarkCase["commands"] => ({
    casync: ["casync", verb, ...make("casync")],
    imgtool: [imgtool, verb, ...(verb === "make" || verb === "extract" ? ["--durable=no"] : []), ...make("imgtool")],
  });
  const index = (program: string): string => place("tree.caidx")(program);
  const next = (program: string): string => place("tree2.caidx")(program);
  const at = (program: string): string => `--store=${store(program)}`;
  const make = both("make", (program) => [at(program), index(program), inputs.tree]);
  add(tree, "make, cold store", make, away(store));
  add(tree, "make, warm store", make);
  const cached = both("make", (program) => [
    `--cache=${place("cache")(program)}`,
    at(program),
    index(program),
    inputs.tree,
  ]);
  add(tree, "make, warm store, nothing cached yet", cached, (program) => {
    away(place("cache"))(program);
    // casync does not make it
    mkdirSync(place("cache")(program));
  });
  add(tree, "make, warm store, with --cache", cached);
  add(
    tree,
    "extract",
    both("extract", (program) => [at(program), index(program), output(program)]),
    away(output),
  );
  add(
    tree,
    "make of the second version",
    both("make", (program) => [at(program), next(program), inputs.nextTree]),
  );
  const extractNext = (...more: readonly string[]): BenchmarkCase["commands"] =>
    both("extract", (program) => [at(program), ...more, next(program), output(program)]);
  add(tree, "extract the second version", extractNext(), away(output));
  add(tree, "extract the second version, the first as seed", extractNext(`--seed=${inputs.tree}`), away(output));
  for (const verb of ["list", "mtree", "digest"])
    add(
      tree,
      verb,
      both(verb, () => [inputs.tree]),
    );
  add(
    tree,
    "list of the index",
    both("list", (program) => [at(program), index(program)]),
  );

  const start = "Start";
  add(start, "--help", { casync: ["casync", "--help"], imgtool: [imgtool, "--help"] });
  add(
    start,
    "make of 1 kB",
    both("make", (program) => [at(program), place("small.caibx")(program), inputs.small]),
  );
  return result;
}

/** What shows that memory does not depend on the size of the input. */
export function memoryCases(imgtool: string, work: string): BenchmarkCase[] {
  const [sparse, small] = [
    makeSparseImage(join(work, "sparse"), 20),
    makeSmallFiles(join(work, "small-files"), 200_000),
  ];
  const [store, output] = [join(work, "memory.castr"), join(work, "memory.out")];
  const [image, tree] = [join(work, "sparse.caibx"), join(work, "small.caidx")];
  const run = (name: string, verb: string, ...args: readonly string[]): BenchmarkCase => ({
    group: "Memory",
    name,
    commands: { imgtool: [imgtool, verb, "--durable=no", `--store=${store}`, ...args] },
    prepare: () => rmSync(output, { recursive: true, force: true }),
  });
  return [
    run("make of a sparse image of 20 GiB", "make", image, sparse),
    run("extract of it", "extract", image, output),
    run("make of a tree of 200,000 small files", "make", tree, small),
    run("extract of it", "extract", tree, output),
  ];
}

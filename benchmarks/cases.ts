/**
 * The cases: for each program the command, and what must be there (or away) before it runs.
 * @module
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "@imgtool/testkit";

export interface BenchmarkCase {
  readonly name: string;
  /** Command lines by program; casync is what the others are compared with. */
  readonly commands: Readonly<Record<string, readonly string[]>>;
  prepare(program: string): void;
}

/** All cases, in an order in which the later ones use what the earlier ones left. */
export function cases(root: string, work: string, input: string): BenchmarkCase[] {
  const imgtool = join(root, "imgtool");
  const store = (program: string): string => join(work, `${program}.castr`);
  const index = (program: string): string => join(work, `${program}.caibx`);
  const output = (program: string): string => join(work, `${program}.out`);
  const programs = ["casync", "imgtool", "desync"].filter(
    (name) => name === "imgtool" || findProgram(name) !== undefined,
  );
  const commands = (of: Readonly<Record<string, readonly string[]>>): Record<string, readonly string[]> =>
    Object.fromEntries(programs.filter((name) => of[name] !== undefined).map((name) => [name, of[name] ?? []]));
  const make = commands({
    casync: ["casync", "make", `--store=${store("casync")}`, index("casync"), input],
    imgtool: [imgtool, "make", "--durable=no", `--store=${store("imgtool")}`, index("imgtool"), input],
    desync: ["desync", "make", "-n", "2", "-s", store("desync"), index("desync"), input],
  });
  const extract = commands({
    casync: ["casync", "extract", `--store=${store("casync")}`, index("casync"), output("casync")],
    imgtool: [imgtool, "extract", "--durable=no", `--store=${store("imgtool")}`, index("imgtool"), output("imgtool")],
    desync: ["desync", "extract", "-n", "2", "-s", store("desync"), index("desync"), output("desync")],
  });
  return [
    {
      name: "make, cold store",
      commands: make,
      prepare: (program) => rmSync(store(program), { recursive: true, force: true }),
    },
    { name: "make, warm store", commands: make, prepare() {} },
    { name: "extract", commands: extract, prepare: (program) => rmSync(output(program), { force: true }) },
  ];
}

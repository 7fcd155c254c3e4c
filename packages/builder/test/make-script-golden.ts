/**
 * Writes script-golden.json: what mkosi 25.3 gives to scripts. Run it where mkosi is a program:
 *
 *     node --conditions=@imgtool/source packages/builder/test/make-script-golden.ts mkosi
 *
 * Further words before mkosi's name are a command that runs it elsewhere, in the current folder.
 * @module
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tryRun } from "@imgtool/testkit";
import { readReports, writeScriptProject } from "./script-project.ts";

const [program = "mkosi", ...args] = process.argv.slice(2);
const folder = join(import.meta.dirname, "script-golden-project");
mkdirSync(folder);
try {
  writeScriptProject(folder);
  const { status, stdout, stderr } = tryRun(program, [...args, "-f", "build"], { cwd: folder });
  if (status !== 0) throw new Error(stderr);
  const reports = readReports(`${stdout.toString()}\n${stderr}`.split("\n"));
  writeFileSync(join(import.meta.dirname, "script-golden.json"), `${JSON.stringify(reports, undefined, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
